from .base import ElfsOperator
from .forms import budget_inputs, budget_of, pick, run_input, search_inputs, seed_input


class SearchBeta(ElfsOperator):
    operator = "search_beta"
    title = "Find β"
    description = "Grid search for β on a 90/10 split of the pseudo-labelled data"
    takes = ("budget_unit", "budget", "grid", "repeats", "proxy", "image_size", "seed", "device")
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin import runs

        key, ready = run_input(ctx, inputs, "scores", "a β search")
        if ready:
            budget_inputs(ctx, inputs, runs.load_record(ctx.dataset, key).stages["scores"]["scored"])
        search_inputs(ctx, inputs)
        seed_input(inputs)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(ctx.params, "key", "grid", "repeats", "proxy", "image_size", "seed", "device")
        return runs.search_beta(ctx.dataset, budget=budget_of(ctx.params), **options, sinks=sinks)
