from .base import ElfsOperator
from .budget_forms import beta_inputs, beta_of, budget_inputs, budget_of
from .forms import check_settings, run_input
from .inputs import choice_input, pick, whole_number_input
from .parameters import without

CORESETS = {"applied": "The applied coreset", "settings": "Other settings"}
PROXIES = {"run": "The proxy that made the scores", "mlp": "MLP on the embeddings: seconds"}


class MeasureStability(ElfsOperator):
    operator = "measure_stability"
    title = "Measure stability"
    description = "Trains the proxy again with other seeds: how much of the coreset stays the same?"
    distributes = True
    takes = ("coreset", "budget_unit", "budget", "beta_mode", "beta", "seeds", "proxy", "seed", "device")
    uses_view = False
    risk = "LOW"

    def form(self, ctx, inputs, collection):
        run = run_input(ctx, inputs, "scores", "measuring stability")
        if run is not None:
            possible = CORESETS if "selection" in run.stages else {"settings": CORESETS["settings"]}
            choice_input(inputs, "coreset", possible, next(iter(possible)), "Coreset")
            if not _takes_applied(ctx.params, run.stages):
                n = run.stages["scores"]["scored"]
                budget = budget_inputs(ctx, inputs, n)
                beta_inputs(ctx, inputs, budget, n, run.stages.get("beta", {}).get("chosen"))
        whole_number_input(ctx, inputs, "seeds", 3, 2, 20, "Seeds", "Coresets to compare, the run's own among them")
        choice_input(inputs, "proxy", PROXIES, "run", "Proxy")

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
        if not _takes_applied(params, runs.Run(ctx.dataset, options.get("key", "elfs")).stages):
            options.update(budget=budget_of(params), beta=beta_of(params))
        return runs.measure_stability(ctx.dataset, **options, sinks=sinks)


def _takes_applied(params, stages):
    """Whether the applied coreset is meant; a budget given from Python means other settings."""
    chosen = params.get("coreset") or ("settings" if "budget" in params else "applied")
    return chosen == "applied" and "selection" in stages
