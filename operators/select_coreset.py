from .base import ElfsOperator
from .forms import beta_inputs, beta_of, budget_inputs, budget_of, output_inputs, pick, run_input


class SelectCoreset(ElfsOperator):
    operator = "select_coreset"
    title = "Select coreset"
    description = "Double-end pruning: drops the β hardest, keeps the budget, drops the easiest; tags and saves it"
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin import runs

        key, ready = run_input(ctx, inputs, "scores", "selecting a coreset")
        if ready:
            stages = runs.load_record(ctx.dataset, key).stages
            n = stages["scores"]["scored"]
            budget = budget_inputs(ctx, inputs, n)
            beta_inputs(ctx, inputs, budget, n, stages.get("beta", {}).get("chosen"))
            output_inputs(ctx, inputs, key)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(ctx.params, "key", "tag", "view_name")
        return runs.select_coreset(ctx.dataset, budget=budget_of(ctx.params), beta=beta_of(ctx.params), **options,
                                   sinks=sinks)  # fmt: skip
