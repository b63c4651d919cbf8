"""The tab *Audit*: the only place that reads true labels. Nothing here flows back into a selection."""

import fiftyone.operators.types as types

from .base import choice, guarded, needs_run, plot, set_new, value, wrapping
from .figures import ZONE_NAMES, mean_spread, truth_figure, truth_layout
from .part import Part, Tab


class Audit(Part):
    @guarded
    def on_truth_field(self, ctx):
        set_new(ctx.panel.state, truth_field=ctx.params.get("value"))

    @needs_run
    def on_audit(self, ctx):
        from ..elfs_plugin.errors import InvalidInput

        field = ctx.panel.state.truth_field
        if not field:
            raise InvalidInput("Choose the field that holds the true labels.", "truth_field")
        self.start(ctx, "audit", truth_field=field)

    def render_audit(self, panel, ctx, model):
        from ..elfs_plugin import runs

        apart = types.AlertView(
            severity="info",
            label="For checking only",
            description="This tab alone reads true labels. Nothing it finds is used by β, the budget or the coreset.",
        )
        panel.view("apart", apart)
        if not model.selection:
            panel.md("Save a coreset first; the audit checks the saved one.", name="no_selection")
            return
        fields = runs.truth_fields(model.dataset)
        if not fields:
            panel.md("The dataset has no field that could hold true labels.", name="no_truth")
        choice(
            panel,
            "truth_field",
            fields,
            view=types.AutocompleteView,
            default=ctx.panel.state.truth_field,
            label="Field with true labels",
            on_change=self.on_truth_field,
        )
        panel.btn(
            "audit",
            label="Audit the saved coreset",
            icon="fact_check",
            variant="contained",
            disabled=model.running or not fields,
            on_click=self.on_audit,
        )
        found = model.results.get("audit")
        if found:
            self._render_found(panel, model, found)

    def _render_found(self, panel, model, found):
        panel.md(f"**{found['sentence']}**", name="audit_text")
        self.render_stale(panel, model, "audit")
        for index, text in enumerate(found["warnings"]):
            panel.view(f"audit_warning_{index}", types.AlertView(severity="warning", label=text))
        row = wrapping(panel, "audit_numbers")
        numbers = {
            "field": found["truth_field"],
            "pseudo-labels right": f"{found['pseudo_label_accuracy']:.1%}",
            "coreset, %": mean_spread(found["coreset_mean"], found["coreset_sd"]),
            "Random, %": mean_spread(found["random_mean"], found["random_sd"]),
            "without a true label": f"{found['without_truth']:,}",
        }
        for index, (label, text) in enumerate(numbers.items()):
            value(row, f"audit_{index}", label, text)
        zones = found["zones"]
        right = [
            f"{zone} {share:.1%}"
            for zone, share in zip(ZONE_NAMES.values(), zones["pseudo_label_accuracy"])
            if share is not None
        ]
        panel.md(f"Pseudo-labels right by zone: {', '.join(right)}. Classes in each zone:", name="zones_text")
        plot(panel, "truth", truth_figure(zones), truth_layout(len(zones["classes"])))

    tab = Tab("audit", "Audit", render_audit)
