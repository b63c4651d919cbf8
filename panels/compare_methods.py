"""The part of the tab *Compare* that sets all selectors, in the App called methods, beside Random."""

import fiftyone.operators.types as types

from .base import choice, download, guarded, needs_run, plot, set_new, wrapping
from .figures import mean_spread, method_figure, method_layout
from .part import Part

ABOUT = (
    "Which method to trust on these images? Every method chooses at several budgets and with several seeds, beside "
    "Random, and a small network says on held-out pseudo-labels what each choice teaches."
)
LEGEND = (
    "*accuracy* of a small network trained on the coreset, on held-out pseudo-labels; *nearest chosen*: mean cosine "
    "distance from any image to the coreset; *seeds share*: how much of the coreset another seed chooses again "
    "(by chance {chance:.0%}). Pseudo-labels can mislead: where they are wrong, so is this."
)
COLUMNS = {
    "method": "method",
    "accuracy": "accuracy, %",
    "minus": "- Random",
    "nearest": "nearest chosen",
    "near": "near-duplicates",
    "seeds": "seeds share",
}


class CompareMethods(Part):
    @needs_run
    def on_compare_methods(self, ctx):
        self.prompt(ctx, "compare_methods")

    @needs_run
    def on_compared_methods_csv(self, ctx):
        from ..elfs_plugin.errors import InvalidInput
        from ..elfs_plugin.evaluation.tables import method_rows, to_csv

        found = self.model(ctx).results.get("methods")
        if not found:
            raise InvalidInput("The comparison is gone: the run has been written anew. Compare again.")
        download(ctx, f"{ctx.panel.state.key}_methods.csv", to_csv(method_rows(found)))

    @guarded
    def on_compared_methods_budget(self, ctx):
        set_new(ctx.panel.state, methods_budget=ctx.params.get("value"))
        self.refresh(ctx)

    def _methods_at(self, state, found):
        """The place of the budget that the table is of: the chosen one, else the nearest to that of the cuts."""
        budgets = [f"{budget:,}" for budget in found["budgets"]]
        if state.methods_budget in budgets:
            return budgets.index(state.methods_budget)
        return min(range(len(budgets)), key=lambda b: abs(found["budgets"][b] - (state.budget or 0)))

    def load_compared_methods(self, ctx, model):
        found = model.results.get("methods")
        if found:
            ctx.panel.set_data(_name(found), _rows(found, self._methods_at(ctx.panel.state, found)))

    def render_compared_methods(self, panel, state, model):
        panel.md("**Methods** beside Random, measured anew for each seed.", name="methods_title")
        found = model.results.get("methods")
        if found:
            self._render_methods(panel, state, model, found)
        else:
            panel.md(ABOUT, name="no_methods")
        row = wrapping(panel, "methods_buttons")
        row.btn(
            "methods_start",
            label="Compare again …" if found else "Compare methods …",
            icon="query_stats",
            variant="outlined",
            disabled=model.running,
            on_click=self.on_compare_methods,
        )
        if found:
            row.btn(
                "methods_csv", label="CSV", icon="download", variant="outlined", on_click=self.on_compared_methods_csv
            )

    def _render_methods(self, panel, state, model, found):
        self.render_stale(panel, model, "methods")
        for at, text in enumerate(found["warnings"] + list(found["left_out"].values())):
            panel.view(f"methods_warning_{at}", types.AlertView(severity="warning", label=text))
        plot(panel, "methods_plot", method_figure(found), method_layout(len(found["methods"])))
        panel.md("\n".join(f"* {text}" for text in found["sentences"]), name="methods_text")
        at = self._methods_at(state, found)
        choice(
            panel,
            "methods_budget",
            {f"{budget:,}": f"{budget:,} images ({budget / found['size_of_pool']:.1%})" for budget in found["budgets"]},
            default=f"{found['budgets'][at]:,}",
            label="Budget",
            on_change=self.on_compared_methods_budget,
        )
        table = types.TableView(componentsProps={"table": {"sx": {"minWidth": 0}}})
        for key, label in COLUMNS.items():
            table.add_column(key, label=label)
        panel.list(_name(found), types.Object(), label="Best first", view=table)
        panel.md(LEGEND.format(chance=found["budgets"][at] / found["size_of_pool"]), name="methods_legend")


def _rows(found, b):
    def minus(m):
        return found["difference_mean"][m][b]

    rows = []
    for m in sorted(range(len(found["methods"])), key=lambda m: -1 if minus(m) is None else -minus(m) - 10):
        name, share = found["methods"][m], found["overlap"][m][b]
        rows.append(
            {
                "method": name,
                "accuracy": mean_spread(found["accuracy_mean"][m][b], found["accuracy_sd"][m][b]),
                "minus": "-" if minus(m) is None or name == "random" else f"{100 * minus(m):+.1f}",
                "nearest": f"{found['coverage_mean'][m][b]:.3f}",
                "near": f"{found['near_duplicates_mean'][m][b]:,.0f}",
                "seeds": "-" if share is None else f"{share:.0%}",
            }
        )
    return rows


def _name(found):
    """The browser lays new rows over the old ones of the same name; a shorter table would keep some of those."""
    return f"methods_{len(found['methods'])}"
