from .base import ElfsOperator
from .budget_forms import BETA, beta_mode, beta_of, budgets_input, budgets_of, parsed
from .forms import check_settings, run_input
from .inputs import check, choice_input, pick, seed_input
from .proxy_forms import repeats_input

BETAS = {"usual": "The usual β of each budget", "manual": "One β, less where a budget does not allow it"}


class BudgetCurve(ElfsOperator):
    operator = "budget_curve"
    title = "How many labels are enough?"
    description = "What a small probe learns from coresets of growing size, beside Random, on held-out pseudo-labels"
    takes = ("budgets", "beta_mode", "beta", "repeats", "seed", "device")
    uses_view = False
    risk = "LOW"

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin.pruning.zones import check_beta

        run = run_input(ctx, inputs, "scores", "a budget curve")
        budgets_input(ctx, inputs, run, "Images or percent: 100, 500, 10%. Empty: a ladder")
        choice_input(inputs, "beta_mode", BETAS, "usual", "β")
        if beta_mode(ctx.params) == "manual":
            prop = inputs.float("beta", default=BETA, required=False, label="β")
            check(prop, check_beta, beta_of(ctx.params))
        repeats_input(ctx, inputs)
        seed_input(inputs)

    def check_together(self, ctx, params):
        check_settings(params)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(ctx.params, "key", "repeats", "seed", "device")
        budgets = parsed(budgets_of(ctx.params))
        return runs.budget_curve(
            ctx.dataset, budgets=budgets, beta=beta_of(ctx.params, otherwise=None), **options, sinks=sinks
        )
