import fiftyone.operators.types as types

from .base import ElfsOperator
from .forms import run_input
from .inputs import check, pick

ABOUT = (
    "Each cluster gets the class that most of its labels are of, or the classes of a model of the labels where that is "
    "right more often. Scores, ranks and zones follow; tags stay as they were saved."
)


class LearnLabels(ElfsOperator):
    operator = "learn_labels"
    title = "Learn from labels"
    description = "Corrects the pseudo-labels by the labels so far, cluster by cluster, and scores all images again"
    takes = ("device",)
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.runs.rounds import state

        run = run_input(ctx, inputs, "scores", "learning from labels")
        if run is not None and check(inputs.properties["key"], state.round_of, run.record):
            inputs.view("what", types.Notice(label=ABOUT))

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        return runs.learn_labels(ctx.dataset, **pick(ctx.params, "key", "device"), sinks=sinks)
