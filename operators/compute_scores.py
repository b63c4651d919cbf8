from .base import ElfsOperator
from .forms import run_input
from .inputs import pick, seed_input
from .proxy_forms import proxy_inputs


class ComputeScores(ElfsOperator):
    operator = "compute_scores"
    title = "Compute scores"
    description = "Trains a proxy on the pseudo-labels and writes AUM, forgetting, EL2N, DUAL and the rank"
    takes = ("proxy", "score", "epochs", "image_size", "seed", "device")

    def form(self, ctx, inputs, collection):
        run_input(ctx, inputs, "pseudo_labels", "computing scores")
        proxy_inputs(ctx, inputs)
        seed_input(inputs)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(ctx.params, "key", "proxy", "score", "epochs", "image_size", "seed", "device")
        return runs.compute_scores(collection, **options, sinks=sinks)
