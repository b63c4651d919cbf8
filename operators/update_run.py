import fiftyone.operators.types as types

from .base import ElfsOperator
from .forms import run_input
from .inputs import pick


class UpdateRun(ElfsOperator):
    operator = "update_run"
    title = "Update run"
    description = "Takes images added since into a run, closes the gaps of deleted ones, and ranks all again"
    distributes = True
    takes = ("device",)
    uses_view = False

    def form(self, ctx, inputs, collection):

        run = run_input(ctx, inputs, "scores", "an update")
        if run is not None:
            changes = run.changes
            text = f"Since the run: {changes.added:,} images added, {changes.deleted:,} deleted. "
            text += (
                "The new ones get the pseudo-label of their nearest neighbours, and the proxy is trained again. "
                if changes.added
                else "Nothing has to be trained. "
            )
            text += "Zones follow with the same β and budget; tags stay as they were saved."
            inputs.view("what", types.Notice(label=text))

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        return runs.update_run(ctx.dataset, **pick(ctx.params, "key", "device"), sinks=sinks)
