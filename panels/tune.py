"""The tab *Tune*: the cuts on the live histogram, the β curve, the pictures of each zone, saving the coreset."""

import fiftyone.operators as foo
import fiftyone.operators.types as types

from .base import ZONES, Part, guarded, plot, set_new, value, wrapping
from .figures import curve_figure, curve_layout, histogram_figure, histogram_layout

DEFAULT_BUDGET = 0.1
BORDER = 50
"""Images shown on each side of each cut by *Borderline*."""
ORDERS = {"hardest": "Hardest first", "easiest": "Easiest first", "dataset": "As in the dataset"}
SHOWN = {"hard": "Too hard", "coreset": "Coreset", "easy": "Too easy", "border": "Borderline", "all": "All"}
METRICS = {"scored": "scored", "hard": "too hard", "coreset": "coreset", "easy": "too easy"}
ALL_CLUSTERS = "all"
ON_EMBEDDINGS, ON_IMAGES = "for a model on these embeddings", "for a network that learns from the images alone"


class Tune(Part):
    # The cuts

    @guarded
    def on_component_ready(self, ctx):
        ctx.panel.state.live = True

    @guarded
    def on_commit(self, ctx):
        """The handles were let go, or a number was typed, in the live histogram."""
        state = ctx.panel.state
        state.serial = int(ctx.params.get("serial", 0))
        self.apply_cut(ctx, int(ctx.params["hard"]), int(ctx.params["budget"]), answer=True)

    @guarded
    def on_slide(self, ctx):
        """The sliders, which stand in for the live histogram."""
        state = ctx.panel.state
        n = state.n
        budget = _clip(round(float(state.budget_percent) / 100 * n), 1, n)
        self.apply_cut(ctx, int(float(state.beta_percent) / 100 * n + 1e-9), budget)

    @guarded
    def on_images(self, ctx):
        """An exact number of images, typed."""
        images = ctx.params.get("value")
        if isinstance(images, (int, float)) and images == images and int(images) != ctx.panel.state.budget:
            self.apply_cut(ctx, ctx.panel.state.hard, int(images))

    @guarded
    def on_curve_click(self, ctx):
        if ctx.params.get("x") is not None:
            self.set_beta(ctx, float(ctx.params["x"]))

    @guarded
    def on_use_usual(self, ctx):
        from ..elfs_plugin.beta_prior import prior_beta

        state = ctx.panel.state
        self.set_beta(ctx, prior_beta(state.budget / state.n))

    def set_beta(self, ctx, beta):
        state = ctx.panel.state
        self.apply_cut(ctx, int(beta * state.n + 1e-9), state.budget)

    def apply_cut(self, ctx, hard, budget, *, answer=False):
        """Takes a cut: into the valid range, to the histogram, and to the grid when it shows a zone. Idempotent."""
        self.take_cut(ctx, hard, budget, answer=answer)
        state = ctx.panel.state
        if state.shown in (*ZONES, "border"):
            self._show(ctx, state.shown)

    def take_cut(self, ctx, hard, budget, *, answer=False):
        """``answer``: the live histogram has made this cut itself. Any other has a serial of its own, so that the
        browser can tell which is newer."""
        state = ctx.panel.state
        n = state.n
        budget = _clip(budget, 1, n)
        hard = _clip(hard, 0, n - budget)
        if not answer and (hard, budget) != (state.hard, state.budget):
            state.serial = (state.serial or 0) + 1
        set_new(state, hard=hard, budget=budget)
        if state.live is False:
            set_new(state, beta_percent=round(100 * hard / n, 4), budget_percent=round(100 * budget / n, 4))

    def _cut(self, ctx):
        """The cut as the live histogram takes it, with the exact numbers that it can only interpolate."""
        from ..elfs_plugin.beta_prior import prior_beta
        from ..elfs_plugin.cuts import cut_details

        state, ranking = ctx.panel.state, self.model(ctx).ranking
        return {
            **cut_details(ranking.table, ranking.scores, ranking.labels, state.hard, state.budget),
            "hard": state.hard,
            "budget": state.budget,
            "serial": state.serial or 0,
            "chosen_beta": state.chosen_beta,
            "prior_beta": prior_beta(state.budget / state.n),
        }

    # The run's data

    def load_tune(self, ctx, model):
        """Sets the cuts, where another run or somebody else's selection asks for it, and the tab's figures."""
        state = ctx.panel.state
        state.n = model.n
        curve = model.results.get("beta")
        state.chosen_beta = curve["chosen"] if curve else None
        if state.loaded != model.stamp:
            self._start_cut(ctx, model)
            state.loaded = model.stamp
        elif state.hard is None:
            self._start_cut(ctx, model)
        else:
            self.take_cut(ctx, state.hard, state.budget)

    def _start_cut(self, ctx, model):
        """The applied selection, else the β found by the search, else what is usual for the budget."""
        from ..elfs_plugin.beta_prior import prior_beta

        state, n, selection = ctx.panel.state, model.n, model.selection
        if selection:
            hard, budget = selection["hard"], selection["coreset"]
        else:
            searched = model.record.stages.get("beta", {})
            budget = searched.get("budget") or max(1, int(DEFAULT_BUDGET * n))
            beta = searched.get("chosen")
            hard = int((prior_beta(budget / n) if beta is None else beta) * n + 1e-9)
        # Never the tag of another method's coreset: saving would replace it.
        own = [tag for tag in model.record.tags if "method" not in model.record.saved.get(tag, {})]
        state.tag = own[-1] if own else default_tag(model.key)
        self.take_cut(ctx, hard, budget)

    # Pictures

    @guarded
    def on_pick_zone(self, ctx):
        """A zone's name was clicked in the live histogram."""
        if ctx.params.get("zone") in ZONES:
            self._show(ctx, ctx.params["zone"])

    @guarded
    def on_show_hard(self, ctx):
        self._show(ctx, "hard")

    @guarded
    def on_show_coreset(self, ctx):
        self._show(ctx, "coreset")

    @guarded
    def on_show_easy(self, ctx):
        self._show(ctx, "easy")

    @guarded
    def on_show_border(self, ctx):
        self._show(ctx, "border")

    @guarded
    def on_show_all(self, ctx):
        self._show(ctx, "all")

    @guarded
    def on_order(self, ctx):
        self._choose(ctx, "order", ctx.params.get("value"), "hardest")

    @guarded
    def on_cluster(self, ctx):
        self._choose(ctx, "cluster", ctx.params.get("value"), ALL_CLUSTERS)

    def _choose(self, ctx, name, value, default):
        """Takes a choice for the grid. The App also reports the value that a list is drawn with: no news."""
        state = ctx.panel.state
        if value and value != (getattr(state, name) or default):
            setattr(state, name, value)
            self._show(ctx, state.shown or "all")

    def _show(self, ctx, shown):
        from ..elfs_plugin import runs

        state = ctx.panel.state
        hard, budget, n = state.hard, state.budget, state.n
        clusters = None if state.cluster in (None, ALL_CLUSTERS) else [state.cluster]
        order = state.order or "hardest"
        order = None if order == "dataset" else order
        if shown == "all" and clusters is None and order is None:
            view = ctx.dataset.view()
        elif shown == "border":
            view = runs.borderline_view(ctx.dataset, state.key, hard, budget, BORDER)
        else:
            intervals = {"hard": (0, hard), "coreset": (hard, hard + budget), "easy": (hard + budget, n), "all": (0, n)}
            view = runs.rank_view(ctx.dataset, state.key, *intervals[shown], order=order, clusters=clusters)
        state.shown = shown
        ctx.ops.set_view(view=view)

    @guarded
    def on_plot(self, ctx):
        """Opens FiftyOne's Embeddings panel on the run's plot; where there is none, the form that makes it."""
        record = self.model(ctx).record
        if record.brain_keys:
            self.open_plot(ctx, record)
        else:
            self.prompt(ctx, "visualize")

    def open_plot(self, ctx, record):
        from ..elfs_plugin import runs

        key = record.key
        color = f"{key}.zone" if "selection" in record.stages else f"{key}.pseudo_label.label"
        plot = record.brain_keys[-1]
        # FiftyOne's panel forgets both when it opens, so the user is told what to choose.
        ctx.ops.open_panel("Embeddings", layout="horizontal", data=runs.embeddings_panel_state(plot, color))
        ctx.ops.notify(f"Choose the plot '{plot}', and colour it by {color}.", variant="info")

    # Operators

    @guarded
    def on_find_beta(self, ctx):
        self._search(ctx, "mlp", "Searching β …")

    @guarded
    def on_find_beta_on_images(self, ctx):
        self._search(ctx, "resnet8", "Searching β on the images: this takes minutes, and can be cancelled.")

    def _search(self, ctx, proxy, message):
        self.start(ctx, "search_beta", budget=ctx.panel.state.budget, budget_unit="images", proxy=proxy)
        ctx.ops.notify(message, variant="info")

    @guarded
    def on_save(self, ctx):
        """Applies the selection: zones, tag and saved view."""
        from ..elfs_plugin import runs

        state = ctx.panel.state
        model = self.model(ctx)
        if model.stamp != state.loaded:
            self.refresh(ctx)
            raise runs.Changed("Somebody else has changed this run since you opened it; their cuts are shown now. "
                               "Set yours again and save, or save under another name.")  # fmt: skip
        tag = (state.tag or "").strip() or default_tag(state.key)
        budget, expected = int(state.budget), runs.saved_token(model.record, tag)
        runs.select_coreset(ctx.dataset, state.key, budget=budget, beta=state.hard / state.n, tag=tag, view_name=tag,
                            expected=expected)  # fmt: skip
        state.loaded = None
        self.refresh(ctx)
        ctx.ops.reload_dataset()
        ctx.ops.notify(f"{budget:,} images tagged '{tag}' and saved as the view '{tag}'", variant="success")

    @guarded
    def on_export(self, ctx):
        self.prompt(ctx, "export_coreset")

    @guarded
    def on_annotate(self, ctx):
        """Hands the coreset to FiftyOne's annotation plugin; without it, to the export form."""
        from ..elfs_plugin import runs

        ctx.ops.set_view(view=runs.zone_view(ctx.dataset, ctx.panel.state.key, "coreset"))
        if foo.operator_exists("@voxel51/annotation/request_annotations"):
            ctx.prompt("@voxel51/annotation/request_annotations")
        else:
            ctx.ops.notify("Install the plugin @voxel51/annotation to send images to a labelling tool from here. "
                           "Export writes files for any tool.", variant="info")  # fmt: skip
            self.prompt(ctx, "export_coreset")

    # Layout

    def render_tune(self, panel, ctx, model):
        state = ctx.panel.state
        if state.live is not False:
            component = types.View(component="ElfsCuts", composite_view=True, table=model.table, cut=self._cut(ctx),
                                   on_commit=self.on_commit,
                                   on_ready=self.on_component_ready, on_zone=self.on_pick_zone)  # fmt: skip
            panel.obj("cuts", view=component)
        else:
            self._render_sliders(panel, state, model)
        self._render_show(panel, state, model)
        self.render_card(panel, ctx, model)
        self._render_beta(panel, state, model)
        self._render_save(panel, state, model)

    def _render_sliders(self, panel, state, model):
        # The values live in the state, so that an older answer of the server cannot be drawn over newer numbers.
        metrics = wrapping(panel, "metrics")
        n = state.n
        values = {"scored": n, "hard": state.hard, "coreset": state.budget, "easy": n - state.hard - state.budget}
        for name, label in METRICS.items():
            value(metrics, name, label, f"{values[name]:,}")
        traces = histogram_figure(model.table, state.hard, state.budget)
        plot(panel, "histogram", traces, histogram_layout(model.table))
        for name, label, low in (("beta_percent", "β, %", 0), ("budget_percent", "Budget, %", 0.01)):
            number = types.Number(min=low, max=100, float=True)
            slider = types.SliderView(min=low, max=100, value_precision=2, label_position="left")
            panel.define_property(
                name, number, default=getattr(state, name), label=label, view=slider, on_change=self.on_slide
            )
        panel.int("images", default=state.budget, label="Budget in images", on_change=self.on_images)

    def _render_show(self, panel, state, model):
        show = wrapping(panel, "show")
        for zone, label in SHOWN.items():
            variant = "contained" if state.shown == zone else "outlined"
            show.btn(f"show_{zone}", label=label, variant=variant, on_click=getattr(self, f"on_show_{zone}"))
        show.btn("plot", label="Embedding plot", icon="scatter_plot", variant="outlined", on_click=self.on_plot)
        how = wrapping(panel, "how")
        orders = types.DropdownView()
        for name, label in ORDERS.items():
            orders.add_choice(name, label=label)
        how.enum("order", orders.values(), default=state.order or "hardest", label="Order", view=orders,
                 on_change=self.on_order)  # fmt: skip
        clusters = types.DropdownView()
        clusters.add_choice(ALL_CLUSTERS, label="All clusters")
        for name in model.cluster_names:
            clusters.add_choice(name, label=name)
        how.enum("cluster", clusters.values(), default=state.cluster or ALL_CLUSTERS, label="Cluster", view=clusters,
                 on_change=self.on_cluster)  # fmt: skip

    def _render_beta(self, panel, state, model):
        curve = model.results.get("beta")
        buttons = wrapping(panel, "beta_buttons")
        buttons.btn("find_beta", label="Find β", icon="search", variant="outlined", disabled=model.running,
                    on_click=self.on_find_beta)  # fmt: skip
        buttons.btn("find_beta_on_images", label="Find β on the images", icon="image_search", variant="outlined",
                    disabled=model.running, on_click=self.on_find_beta_on_images)  # fmt: skip
        buttons.btn("use_usual", label="Use the usual β", variant="outlined", on_click=self.on_use_usual)
        if not curve:
            panel.md(
                "No β has been searched yet. *Find β* tries several with small models on the embeddings, in seconds: "
                "for whoever will train a model on embeddings like these. *Find β on the images* tries them with small "
                "ResNets, in minutes: for a network that will learn from the images alone. *The usual β* is what "
                "published runs of the method, which trained such networks, used at such a budget.",
                name="no_curve",
            )
            return
        plot(panel, "curve", curve_figure(curve, state.hard / state.n), curve_layout(), on_click=self.on_curve_click)
        note = "Click a point to take its β."
        if curve.get("smallest", curve["chosen"]) != curve["chosen"]:
            note = f"The smallest within one standard deviation of the best is {curve['smallest']:.2g}. {note}"
        if abs(curve["budget"] - state.budget) > 0.1 * curve["budget"]:
            note = (
                f"**Searched for {curve['budget']:,} images; the budget is {state.budget:,} now.** Find β again. {note}"
            )
        purpose = ON_EMBEDDINGS if curve.get("proxy", "mlp") == "mlp" else ON_IMAGES
        panel.md(f"Searched {purpose}. {curve['reason']} {note}", name="reason")

    def _render_save(self, panel, state, model):
        panel.str("tag", default=state.tag, label="Save as tag and view")
        save = wrapping(panel, "save")
        save.btn("save_coreset", label="Save coreset", icon="bookmark", variant="contained", disabled=model.running,
                 on_click=self.on_save)  # fmt: skip
        if model.selection:
            save.btn("annotate", label="Label …", icon="edit", variant="outlined", on_click=self.on_annotate)
            save.btn("export", label="Export …", icon="download", variant="outlined", on_click=self.on_export)


def default_tag(key):
    return f"{key}_coreset"


def _clip(value, low, high):
    return int(min(max(value, low), high))
