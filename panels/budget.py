"""The tab *Budget*: how many labels are enough?"""

from .base import needs_run, plot
from .cuts import Cuts
from .figures import budget_figure, budget_layout
from .part import Tab


class Budget(Cuts):
    @needs_run
    def on_budget_curve(self, ctx):
        self.start(ctx, "budget_curve")

    @needs_run
    def on_budget_click(self, ctx):
        """A point of the curve becomes the budget of the tab *Tune*."""
        if ctx.params.get("x") is not None:
            state = ctx.panel.state
            before = state.hard
            self.take_cut(ctx, before, int(ctx.params["x"]))
            room = "" if state.hard == before else f"; β was lowered to {state.hard / state.n:.1%} to make room for it"
            ctx.ops.notify(f"Budget: {self.model(ctx).noun.count(state.budget)}{room}", variant="info")

    def render_budget(self, panel, ctx, model):
        found = model.results.get("budget_curve")
        if found:
            plot(panel, "budget_curve", budget_figure(found), budget_layout(), on_click=self.on_budget_click)
            panel.md(f"**{found['sentence']}** Click a point to take its budget.", name="budget_text")
            self.render_stale(panel, model, "budget_curve")
        else:
            text = (
                "How well does a small network predict held-out pseudo-labels, trained on coresets of growing size, "
                "and on as many random images? Where the curve flattens, more labels buy little. It is measured on "
                "pseudo-labels: true classes can be finer, and then need more."
            )
            panel.md(text, name="no_budget_curve")
        label = "Measure again" if found else "How many labels are enough?"
        panel.btn(
            "budget_start",
            label=label,
            icon="trending_up",
            variant="outlined" if found else "contained",
            disabled=model.running,
            on_click=self.on_budget_curve,
        )

    tab = Tab("budget", "Budget", render_budget)
