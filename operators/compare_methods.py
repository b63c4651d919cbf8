import fiftyone.operators.types as types

from .base import ElfsOperator, check
from .forms import pick, run_input, seed_input, whole_number_input

DEFAULT = "1%, 10%, 30%"


class CompareMethods(ElfsOperator):
    operator = "compare_methods"
    title = "Compare methods"
    description = "Every selection method beside Random at several budgets: which one to trust on this data"
    takes = ("budgets", "methods", "seeds", "seed", "device")
    uses_view = False
    risk = "LOW"

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin import runs, selectors
        from ..elfs_plugin.pruning.zones import resolve_budget

        key, ready = run_input(ctx, inputs, "scores", "a comparison")
        prop = inputs.str(
            "budgets",
            default=DEFAULT,
            required=False,
            label="Budgets",
            description="Percentages or numbers of images, with commas between them",
        )
        if ready:
            n = runs.load_record(ctx.dataset, key).stages["scores"]["scored"]

            def valid():
                for budget in budgets_of(ctx.params):
                    resolve_budget(budget, n)

            check(prop, valid)
        choices = types.DropdownView(multiple=True)
        for name, details in selectors.available().items():
            choices.add_choice(name, label=name, description=details["purpose"])
        prop = inputs.list(
            "methods",
            types.String(),
            required=False,
            label="Methods",
            view=choices,
            description="Empty: all that are quick enough for this many images",
        )
        check(prop, _check_methods, ctx.params.get("methods") or [])
        whole_number_input(
            ctx, inputs, "seeds", 3, 1, 20, "Seeds", "Each trains a proxy and chooses again; at least 3 for a verdict"
        )
        seed_input(inputs)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(ctx.params, "key", "seeds", "seed", "device")
        return runs.compare_methods(
            ctx.dataset,
            budgets=budgets_of(ctx.params),
            methods=ctx.params.get("methods") or None,
            **options,
            sinks=sinks,
        )


def _check_methods(names):
    from ..elfs_plugin import selectors

    for name in names:
        selectors.required(name)


def budgets_of(params):
    from ..elfs_plugin.pruning.zones import parse_budgets

    return parse_budgets(params.get("budgets") or DEFAULT)
