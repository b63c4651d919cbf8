from .base import ElfsOperator
from .forms import beta_inputs, beta_of, budget_inputs, budget_of, output_inputs, pick, run_input, seed_input
from .methods import method_input, method_options, parameter_inputs, shared_inputs


class SelectCoreset(ElfsOperator):
    operator = "select_coreset"
    title = "Select coreset"
    description = "A coreset by double-end pruning of a run, or by one of fifteen other methods; tags and saves it"
    uses_view = False

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin import runs

        key, ready = run_input(ctx, inputs, "scores", "selecting a coreset")
        if not ready:
            return
        stages = runs.load_record(ctx.dataset, key).stages
        n = stages["scores"]["scored"]
        method = method_input(ctx, inputs)
        budget = budget_inputs(ctx, inputs, n)
        if method == "elfs":
            beta_inputs(ctx, inputs, budget, n, stages.get("beta", {}).get("chosen"))
            output_inputs(ctx, inputs, key)
            return
        parameter_inputs(ctx, inputs, method)
        shared_inputs(ctx, inputs, key)
        seed_input(inputs)
        output_inputs(ctx, inputs, key, f"{key}_{method}")

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(ctx.params, "key", "tag", "view_name")
        method, budget = ctx.params.get("method") or "elfs", budget_of(ctx.params)
        if method == "elfs":
            return runs.select_coreset(ctx.dataset, budget=budget, beta=beta_of(ctx.params), **options, sinks=sinks)
        options.setdefault("tag", f"{options.get('key', 'elfs')}_{method}")
        return runs.choose_coreset(ctx.dataset, method=method, budget=budget, **options,
                                   **pick(ctx.params, "seed", "device"), **method_options(ctx.params),
                                   sinks=sinks)  # fmt: skip
