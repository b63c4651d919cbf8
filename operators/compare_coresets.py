import fiftyone.operators.types as types

from .base import ElfsOperator
from .forms import run_input
from .inputs import check, choices, pick, seed_input, whole_number_input


class CompareCoresets(ElfsOperator):
    operator = "compare_coresets"
    title = "Compare coresets"
    description = "Two to ten coresets beside Random: overlap, coverage, balance, near-duplicates, a probe"
    takes = ("members", "seeds", "seed", "device")
    uses_view = False
    risk = "LOW"

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin import runs

        run_input(ctx, inputs, "scores", "a comparison")
        view = types.AutocompleteView(allow_user_input=True, allow_duplicates=False)
        given = ctx.params.get("members") or []
        # The App's list holds texts; the panel and Python may name settings by a dict.
        kind = types.String() if all(isinstance(member, str) for member in given) else types.Object()
        prop = inputs.list(
            "members",
            kind,
            required=False,
            label="Coresets",
            view=choices(view, runs.member_choices(ctx.dataset)),
            description="Choose two to ten, or type settings: <run>@beta=0.2,budget=100",
        )
        check(prop, runs.check_members, ctx.dataset, given)
        whole_number_input(ctx, inputs, "seeds", 5, 1, 50, "Seeds", "Held-out splits, and random subsets of each size")
        seed_input(inputs)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        options = pick(ctx.params, "key", "seeds", "seed", "device")
        return runs.compare_coresets(ctx.dataset, ctx.params.get("members"), **options, sinks=sinks)
