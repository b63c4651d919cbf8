"""The tab *Tune*: the cuts on the live histogram, the β curve, the pictures of each zone, saving the coreset."""

import fiftyone.operators.types as types

from ..elfs_plugin.pruning.zones import ZONES, count_hard
from .base import choice, guarded, needs_run, plot, set_new, value, wrapping
from .card import Card
from .cuts import ALL_CLUSTERS, clip
from .figures import ZONE_NAMES, histogram_figure, histogram_layout
from .part import Tab
from .save import Save
from .search_beta import SearchBeta

ORDERS = {"hardest": "Hardest first", "easiest": "Easiest first", "dataset": "As in the dataset"}
METRICS = {"scored": "scored", **ZONE_NAMES}


class Tune(SearchBeta, Save, Card):
    # The cuts

    @guarded
    def on_component_ready(self, ctx):
        set_new(ctx.panel.state, live=True)

    @needs_run
    def on_commit(self, ctx):
        """The handles were let go, or a number was typed, in the live histogram."""
        state = ctx.panel.state
        set_new(state, live=True)
        state.serial = int(ctx.params.get("serial", 0))
        self.apply_cut(ctx, int(ctx.params["hard"]), int(ctx.params["budget"]), answer=True)

    @needs_run
    def on_slide(self, ctx):
        """The sliders, which stand in for the live histogram. One moves its own cut alone."""
        state = ctx.panel.state
        n = state.n
        hard = count_hard(float(state.beta_percent) / 100, n)
        budget = clip(round(float(state.budget_percent) / 100 * n), 1, n)
        if str(ctx.params.get("path", "")).endswith("budget_percent"):
            self.set_budget(ctx, budget, self.apply_cut)
        else:
            self.apply_cut(ctx, hard, state.budget if "path" in ctx.params else budget)
        if str(ctx.params.get("path", "")).endswith("beta_percent") and state.hard < hard:
            self.say_limit(ctx, f"β can be at most {(n - state.budget) / n:.1%} beside this budget.")

    @needs_run
    def on_images(self, ctx):
        """An exact number of images, typed."""
        self.take_images(ctx, self.apply_cut)

    def _cut(self, ctx):
        """The cut as the live histogram takes it, with the exact numbers that it can only interpolate."""
        from ..elfs_plugin.pruning.cuts import cut_details
        from ..elfs_plugin.pruning.usual_beta import prior_beta

        state, ranking = ctx.panel.state, self.model(ctx).ranking
        return {
            **cut_details(ranking.table, ranking.scores, ranking.labels, state.hard, state.budget),
            "hard": state.hard,
            "budget": state.budget,
            "serial": state.serial or 0,
            "chosen_beta": state.chosen_beta,
            "prior_beta": prior_beta(state.budget / state.n),
        }

    # Pictures

    @needs_run
    def on_pick_zone(self, ctx):
        """A zone's name was clicked in the live histogram."""
        if ctx.params.get("zone") in ZONES:
            self.show(ctx, ctx.params["zone"])

    @needs_run
    def on_show_hard(self, ctx):
        self.show(ctx, "hard")

    @needs_run
    def on_show_coreset(self, ctx):
        self.show(ctx, "coreset")

    @needs_run
    def on_show_easy(self, ctx):
        self.show(ctx, "easy")

    @needs_run
    def on_show_border(self, ctx):
        self.show(ctx, "border")

    @needs_run
    def on_show_all(self, ctx):
        self.show(ctx, "all")

    @needs_run
    def on_order(self, ctx):
        self._choose(ctx, "order", ctx.params.get("value"), "hardest")

    @needs_run
    def on_cluster(self, ctx):
        self._choose(ctx, "cluster", ctx.params.get("value"), ALL_CLUSTERS)

    def _choose(self, ctx, name, value, default):
        """Takes a choice for the grid. The App also reports the value that a list is drawn with: no news."""
        state = ctx.panel.state
        if value and value != (getattr(state, name) or default):
            setattr(state, name, value)
            self.show(ctx, self.shown(ctx) or "all")

    @needs_run
    def on_plot(self, ctx):
        """Opens FiftyOne's Embeddings panel on the run's plot; where there is none, the form that makes it."""
        record = self.model(ctx).record
        if record.brain_keys:
            self.open_plot(ctx)
        else:
            self.prompt(ctx, "visualize")

    def open_plot(self, ctx):
        from ..elfs_plugin import runs

        record = self.model(ctx).record
        key = record.key
        color = f"{key}.zone" if "selection" in record.stages else f"{key}.pseudo_label.label"
        plot = record.brain_keys[-1]
        # FiftyOne's panel forgets both when it opens, so the user is told what to choose.
        ctx.ops.open_panel("Embeddings", layout="horizontal", data=runs.embeddings_panel_state(plot, color))
        ctx.ops.notify(f"Choose the plot '{plot}', and colour it by {color}.", variant="info")

    # Layout

    def render_tune(self, panel, ctx, model):
        state, seen = ctx.panel.state, {"stamp": self.stamp(ctx, model)}
        # Without a word of the component both are drawn, and the page shows one of them: only the browser knows whether
        # it has loaded it, and a word may be late, or be about another tab.
        marked = {"grid": {"className": "elfs-live"}}
        live = panel.grid("live", orientation="vertical", columns=1, componentsProps=marked)
        component = types.View(
            component="ElfsCuts",
            composite_view=True,
            table={**model.table, "noun": model.noun.many},
            cut=self._cut(ctx),
            **seen,
            heard=state.live is True,
            on_commit=self.on_commit,
            on_ready=self.on_component_ready,
            on_zone=self.on_pick_zone,
        )
        live.obj("cuts", view=component)
        if state.live is False:
            self._render_sliders(panel, state, model)
        self._render_show(panel, state, model, seen)
        self.render_card(panel, ctx, model)
        self.render_beta(panel, state, model, seen)
        self.render_save(panel, state, model, seen)

    def _render_sliders(self, panel, state, model):
        # The values live in the state alone, so that an older answer of the server cannot be drawn over newer numbers;
        # and what is drawn with another value than the state's the browser reports as if the user had set it.
        stand_in = {"className": "elfs-stand-in"}
        metrics = wrapping(panel, "metrics", grid=stand_in)
        n = state.n
        values = {"scored": n, "hard": state.hard, "coreset": state.budget, "easy": n - state.hard - state.budget}
        for name, label in METRICS.items():
            value(metrics, name, label, f"{values[name]:,}")
        traces = histogram_figure(model.table, state.hard, state.budget, model.noun.many)
        box = panel.grid("stand_in", orientation="vertical", columns=1, componentsProps={"grid": stand_in})
        plot(box, "histogram", traces, histogram_layout(model.table, model.noun.many))
        for name, label, low in (("beta_percent", "β, %", 0), ("budget_percent", "Budget, %", 0.01)):
            number = types.Number(min=low, max=100, float=True)
            slider = types.SliderView(
                min=low, max=100, value_precision=2, label_position="left", componentsProps={"container": stand_in}
            )
            panel.define_property(name, number, label=label, view=slider, on_change=self.on_slide)
        typed = types.FieldView(componentsProps={"container": stand_in})
        panel.int("images", label=f"{model.noun.many.capitalize()} to keep", view=typed, on_change=self.on_images)
        if state.limit:
            alert = types.AlertView(severity="warning", label=state.limit, componentsProps={"container": stand_in})
            panel.view("limit", alert)

    def _render_show(self, panel, state, model, seen):
        show = wrapping(panel, "show")
        shown = {
            "hard": ("Too hard", self.on_show_hard),
            "coreset": ("Coreset", self.on_show_coreset),
            "easy": ("Too easy", self.on_show_easy),
            "border": ("Borderline", self.on_show_border),
            "all": ("All", self.on_show_all),
        }
        for name, (label, handler) in shown.items():
            variant = "contained" if state.shown == name else "outlined"
            show.btn(f"show_{name}", label=label, variant=variant, on_click=handler, params=seen)
        show.btn("plot", label="Embedding plot", icon="scatter_plot", variant="outlined", on_click=self.on_plot)
        how = wrapping(panel, "how")
        choice(how, "order", ORDERS, default=state.order or "hardest", label="Order", on_change=self.on_order)
        choice(
            how,
            "cluster",
            {ALL_CLUSTERS: "All clusters", **{name: name for name in model.cluster_names}},
            default=state.cluster or ALL_CLUSTERS,
            label="Cluster",
            on_change=self.on_cluster,
        )

    tab = Tab("tune", "Tune", render_tune, after={"beta": SearchBeta.take_searched, "visualization": open_plot})
