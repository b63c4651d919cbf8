import fiftyone.operators.types as types

from .base import ElfsOperator
from .forms import beta_inputs, beta_of, budget_inputs, budget_of, check_settings, pick, run_input, whole_number_input
from .parameters import without


class MeasureStability(ElfsOperator):
    operator = "measure_stability"
    title = "Measure stability"
    description = "Trains the proxy again with other seeds: how much of the coreset stays the same?"
    takes = ("coreset", "budget_unit", "budget", "beta_mode", "beta", "seeds", "proxy", "seed", "device")
    uses_view = False
    risk = "LOW"

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin import runs

        key, ready = run_input(ctx, inputs, "scores", "measuring stability")
        if ready:
            stages = runs.load_record(ctx.dataset, key).stages
            applied = "selection" in stages
            source = types.RadioGroup()
            if applied:
                source.add_choice("applied", label="The applied coreset")
            source.add_choice("settings", label="Other settings")
            inputs.enum(
                "coreset", source.values(), default=source.values()[0], required=False, label="Coreset", view=source
            )
            if not _takes_applied(ctx.params, stages):
                n = stages["scores"]["scored"]
                budget = budget_inputs(ctx, inputs, n)
                beta_inputs(ctx, inputs, budget, n, stages.get("beta", {}).get("chosen"))
        whole_number_input(ctx, inputs, "seeds", 3, 2, 20, "Seeds", "Coresets to compare, the run's own among them")
        proxies = types.RadioGroup()
        proxies.add_choice("run", label="The proxy that made the scores")
        proxies.add_choice("mlp", label="MLP on the embeddings: seconds")
        inputs.enum("proxy", proxies.values(), default="run", required=False, label="Proxy", view=proxies)

    def check_together(self, ctx, params):
        check_settings(params)
        if params.get("coreset") == "applied":
            without(params, ("budget", "beta"), "the applied coreset is measured; leave out coreset='applied'.")
        elif "budget" not in params and params.get("coreset") != "settings":
            without(params, ("beta", "beta_mode", "budget_unit"), "it needs a budget as well.")

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        params = ctx.params
        options = pick(params, "key", "seeds", "proxy", "seed", "device")
        record = runs.load_record(ctx.dataset, options.get("key", "elfs"))
        if not _takes_applied(params, record.stages if record else {}):
            options.update(budget=budget_of(params), beta=beta_of(params))
        return runs.measure_stability(ctx.dataset, **options, sinks=sinks)


def _takes_applied(params, stages):
    """Whether the applied coreset is meant; a budget given from Python means other settings."""
    chosen = params.get("coreset") or ("settings" if "budget" in params else "applied")
    return chosen == "applied" and "selection" in stages
