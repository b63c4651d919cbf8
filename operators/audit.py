from .base import ElfsOperator
from .forms import run_input
from .inputs import check, pick, seed_input, suggestions_input, whole_number_input


class Audit(ElfsOperator):
    operator = "audit"
    title = "Audit against true labels"
    description = "Compares the coreset with Random by true labels you have; nothing that selects ever reads them"
    takes = ("truth_field", "seeds", "seed", "device")
    uses_view = False
    risk = "LOW"

    def form(self, ctx, inputs, collection):
        from ..elfs_plugin import runs

        run_input(ctx, inputs, "selection", "an audit")
        fields = runs.truth_fields(ctx.dataset)
        default = "ground_truth" if "ground_truth" in fields else None
        prop = suggestions_input(
            inputs,
            "truth_field",
            fields,
            "True labels",
            default=default,
            description="A Classification, or a field of texts, whole numbers or booleans",
        )
        check(prop, runs.truth_path, ctx.dataset, ctx.params.get("truth_field") or default)
        whole_number_input(ctx, inputs, "seeds", 5, 1, 50, "Seeds", "Held-out splits; more give steadier numbers")
        seed_input(inputs)

    def run(self, ctx, collection, sinks):
        from ..elfs_plugin import runs

        field = ctx.params.get("truth_field") or "ground_truth"
        return runs.audit(
            ctx.dataset, truth_field=field, **pick(ctx.params, "key", "seeds", "seed", "device"), sinks=sinks
        )
