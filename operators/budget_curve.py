import fiftyone.operators.types as types

from .base import ElfsOperator, check
from .forms import check_settings, pick, repeats_input, run_input, seed_input

BETA = 0.2


class BudgetCurve(ElfsOperator):
    operator = "budget_curve"
    title = "How many labels are enough?"
    description = "What a small probe learns from coresets of growing size, beside Random, on held-out pseudo-labels"
    takes = ("budgets", "beta_mode", "beta", "repeats", "seed", "device")
    uses_view = False
    risk = "LOW"

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin import runs

        key, ready = run_input(ctx, inputs, "scores", "a budget curve")
        prop = inputs.str(
            "budgets", required=False, label="Budgets", description="Images or percent: 100, 500, 10%. Empty: a ladder"
        )
        if ready:
            n = runs.load_record(ctx.dataset, key).stages["scores"]["scored"]
            check(prop, _check_budgets, ctx.params.get("budgets"), n)
        _beta_input(ctx, inputs)
        repeats_input(ctx, inputs)
        seed_input(inputs)

    def check_together(self, ctx, params):
        check_settings(params)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(ctx.params, "key", "repeats", "seed", "device")
        beta = ctx.params.get("beta", BETA) if _sets_beta(ctx.params) else None
        return runs.budget_curve(
            ctx.dataset, budgets=_budgets(ctx.params.get("budgets")), beta=beta, **options, sinks=sinks
        )


def _beta_input(ctx, inputs):
    from ..elfs_plugin.errors import InvalidInput

    choices = types.RadioGroup()
    choices.add_choice("usual", label="The usual β of each budget")
    choices.add_choice("manual", label="One β, less where a budget does not allow it")
    inputs.enum("beta_mode", choices.values(), default="usual", required=False, label="β", view=choices)
    if not _sets_beta(ctx.params):
        return

    def valid():
        beta = ctx.params.get("beta", BETA)
        if not 0 <= beta < 1:
            raise InvalidInput(f"β must be from 0 to below 1; it is {beta}.", "beta")

    check(inputs.float("beta", default=BETA, required=False, label="β"), valid)


def _sets_beta(params):
    given = "manual" if params.get("beta") is not None else "usual"
    return (params.get("beta_mode") or given) == "manual"


def _budgets(text):
    """Budgets of a text; None for the default ladder."""
    from ..elfs_plugin.pruning.zones import parse_budgets

    return parse_budgets(text) if text and text.strip() else None


def _check_budgets(text, n):
    from ..elfs_plugin.pruning.zones import resolve_budget

    for budget in _budgets(text) or []:
        resolve_budget(budget, n)
