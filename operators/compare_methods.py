import fiftyone.operators.types as types

from .base import ElfsOperator
from .budget_forms import budgets_input, budgets_of, parsed
from .forms import run_input
from .inputs import check, choices, pick, seed_input, whole_number_input

BUDGETS = "1%, 10%, 30%"


class CompareMethods(ElfsOperator):
    operator = "compare_methods"
    title = "Compare methods"
    description = "Every selection method next to Random at several budgets: which of them to trust on your data"
    distributes = True
    takes = ("budgets", "methods", "seeds", "seed", "device")
    uses_view = False
    risk = "LOW"

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin import selectors

        run = run_input(ctx, inputs, "scores", "a comparison")
        budgets_input(ctx, inputs, run, "Percentages or numbers of images, with commas between them", BUDGETS)
        purposes = {name: details["purpose"] for name, details in selectors.available().items()}
        prop = inputs.list(
            "methods",
            types.String(),
            required=False,
            label="Methods",
            view=choices(types.DropdownView(multiple=True), purposes, described=True),
            description="Empty: all that are quick enough for this many images",
        )
        check(prop, _check_methods, ctx.params.get("methods") or [])
        whole_number_input(
            ctx, inputs, "seeds", 3, 1, 20, "Seeds", "Each trains a proxy and chooses again; at least 3 for a verdict"
        )
        seed_input(inputs)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        return runs.compare_methods(
            ctx.dataset,
            budgets=parsed(budgets_of(ctx.params, BUDGETS)),
            methods=ctx.params.get("methods") or None,
            **pick(ctx.params, "key", "seeds", "seed", "device"),
            sinks=sinks,
        )


def _check_methods(names):
    from ..elfs_plugin import selectors

    for name in names:
        selectors.required(name)
