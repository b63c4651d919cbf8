from .base import ElfsOperator
from .budget_forms import budget_inputs, budget_of
from .forms import run_input
from .inputs import pick, seed_input
from .proxy_forms import search_inputs


class SearchBeta(ElfsOperator):
    operator = "search_beta"
    title = "Find β"
    description = "Grid search for β on a 90/10 split of the pseudo-labelled data"
    distributes = True
    takes = ("budget_unit", "budget", "grid", "repeats", "proxy", "image_size", "seed", "device")
    uses_view = False

    def form(self, ctx, inputs, collection):
        run = run_input(ctx, inputs, "scores", "a β search")
        if run is not None:
            budget_inputs(ctx, inputs, run.stages["scores"]["scored"], run.record.cut_away)
        search_inputs(ctx, inputs)
        seed_input(inputs)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(ctx.params, "key", "grid", "repeats", "proxy", "image_size", "seed", "device")
        return runs.search_beta(ctx.dataset, budget=budget_of(ctx.params), **options, sinks=sinks)
