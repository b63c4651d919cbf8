"""The tab *Tune*: the cuts on the live histogram, the β curve, the pictures of each zone, saving the coreset."""

import fiftyone.operators as foo
import fiftyone.operators.types as types

from .base import ZONES, Part, guarded, needs_run, plot, set_new, value, wrapping
from .figures import curve_figure, curve_layout, histogram_figure, histogram_layout
from .told import telling

DEFAULT_BUDGET = 0.1
BORDER = 50
"""Images shown on each side of each cut by *Borderline*."""
ORDERS = {"hardest": "Hardest first", "easiest": "Easiest first", "dataset": "As in the dataset"}
SHOWN = {"hard": "Too hard", "coreset": "Coreset", "easy": "Too easy", "border": "Borderline", "all": "All"}
METRICS = {"scored": "scored", "hard": "too hard", "coreset": "coreset", "easy": "too easy"}
ALL_CLUSTERS = "all"
NAMED = 5
"""Clusters without an image in the coreset that are named; of more only the number is told."""
ON_EMBEDDINGS, ON_IMAGES = "for a model on these embeddings", "for a network that learns from the images alone"


class Tune(Part):
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
        hard = int(float(state.beta_percent) / 100 * n + 1e-9)
        budget = _clip(round(float(state.budget_percent) / 100 * n), 1, n)
        if str(ctx.params.get("path", "")).endswith("budget_percent"):
            self.set_budget(ctx, budget)
        else:
            self.apply_cut(ctx, hard, state.budget if "path" in ctx.params else budget)
        if str(ctx.params.get("path", "")).endswith("beta_percent") and state.hard < hard:
            self._say_limit(ctx, f"β can be at most {(n - state.budget) / n:.1%} beside this budget.")

    @needs_run
    def on_images(self, ctx):
        """An exact number of images, typed."""
        images = ctx.params.get("value")
        if isinstance(images, (int, float)) and images == images and int(images) != ctx.panel.state.budget:
            self.set_budget(ctx, int(images))

    def set_budget(self, ctx, images):
        """A budget beside the β that is set, which stays."""
        state = ctx.panel.state
        most = state.n - state.hard
        self.apply_cut(ctx, state.hard, _clip(images, 1, most))
        if not 1 <= images <= most:
            self._say_limit(ctx, f"The budget can be 1 to {most:,} images beside this β; it is {state.budget:,} now.")

    def _say_limit(self, ctx, text):
        state = ctx.panel.state
        # The field that was typed in shows what it was given until it is told otherwise.
        state.images, state.beta_percent = state.budget, round(100 * state.hard / state.n, 4)
        state.budget_percent = round(100 * state.budget / state.n, 4)
        state.limit = text

    @needs_run
    def on_curve_click(self, ctx):
        if ctx.params.get("x") is not None:
            self.set_beta(ctx, float(ctx.params["x"]))

    @needs_run
    def on_back(self, ctx):
        """Back to the cuts that were saved last."""
        selection = self.model(ctx).selection
        if selection:
            self.apply_cut(ctx, selection["hard"], selection["coreset"])

    @needs_run
    def on_use_usual(self, ctx):
        from ..elfs_plugin.pruning.usual_beta import prior_beta

        state = ctx.panel.state
        self.set_beta(ctx, prior_beta(state.budget / state.n))

    def set_beta(self, ctx, beta):
        state = ctx.panel.state
        self.apply_cut(ctx, int(beta * state.n + 1e-9), state.budget)

    def apply_cut(self, ctx, hard, budget, *, answer=False):
        """Takes a cut: into the valid range, to the histogram, and to the grid, which shows the coreset until another
        zone, or all, was asked for. Idempotent."""
        self.take_cut(ctx, hard, budget, answer=answer)
        state = ctx.panel.state
        if state.shown != "all":
            self._show(ctx, state.shown or "coreset")

    def take_cut(self, ctx, hard, budget, *, answer=False):
        """``answer``: the live histogram has made this cut itself. Any other has a serial of its own, so that the
        browser can tell which is newer."""
        state = ctx.panel.state
        n = state.n
        budget = _clip(budget, 1, n)
        hard = _clip(hard, 0, n - budget)
        if not answer and (hard, budget) != (state.hard, state.budget):
            state.serial = (state.serial or 0) + 1
        if (hard, budget) != (state.hard, state.budget):
            set_new(state, limit=None)
        # With the sliders' numbers.
        set_new(
            state,
            hard=hard,
            budget=budget,
            beta_percent=round(100 * hard / n, 4),
            budget_percent=round(100 * budget / n, 4),
            images=budget,
        )

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

    # The run's data

    def load_tune(self, ctx, model):
        """Sets the cuts, where another run or somebody else's selection asks for it, and the tab's figures."""
        state = ctx.panel.state
        curve = model.results.get("beta")
        set_new(state, n=model.n, chosen_beta=curve["chosen"] if curve else None)
        if curve:
            set_new(state, searched=True)
        if state.loaded != model.stamp:
            self._start_cut(ctx, model)
            set_new(state, loaded=model.stamp)
        elif state.hard is None:
            self._start_cut(ctx, model)
        else:
            self.take_cut(ctx, state.hard, state.budget)

    def _start_cut(self, ctx, model):
        """The applied selection, else the β found by the search, else what is usual for the budget."""
        from ..elfs_plugin.pruning.usual_beta import prior_beta

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
        set_new(state, tag=own[-1] if own else default_tag(model.key), tag_problem=None)
        self.take_cut(ctx, hard, budget)

    # Pictures

    @needs_run
    def on_pick_zone(self, ctx):
        """A zone's name was clicked in the live histogram."""
        if ctx.params.get("zone") in ZONES:
            self._show(ctx, ctx.params["zone"])

    @needs_run
    def on_show_hard(self, ctx):
        self._show(ctx, "hard")

    @needs_run
    def on_show_coreset(self, ctx):
        self._show(ctx, "coreset")

    @needs_run
    def on_show_easy(self, ctx):
        self._show(ctx, "easy")

    @needs_run
    def on_show_border(self, ctx):
        self._show(ctx, "border")

    @needs_run
    def on_show_all(self, ctx):
        self._show(ctx, "all")

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
            view = runs.borderline_view(runs.Run(ctx.dataset, state.key), hard, budget, BORDER)
        else:
            intervals = {"hard": (0, hard), "coreset": (hard, hard + budget), "easy": (hard + budget, n), "all": (0, n)}
            view = runs.rank_view(runs.Run(ctx.dataset, state.key), *intervals[shown], order=order, clusters=clusters)
        state.shown = shown
        ctx.ops.set_view(view=view)

    @needs_run
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

    @needs_run
    def on_find_beta(self, ctx):
        self._search(ctx, "mlp", "Searching β …")

    @needs_run
    def on_find_beta_on_images(self, ctx):
        self._search(ctx, "resnet8", "Searching β on the images: this takes minutes, and can be cancelled.")

    def _search(self, ctx, proxy, message):
        self.start(ctx, "search_beta", budget=ctx.panel.state.budget, budget_unit="images", proxy=proxy)
        ctx.ops.notify(message, variant="info")

    @guarded
    def on_tag(self, ctx):
        """A name was typed: what speaks against it is told beside it, before anything is written."""
        state = ctx.panel.state
        set_new(state, tag=ctx.params.get("value"))
        set_new(state, tag_problem=self._tag_problem(ctx, state.tag))

    def _tag_problem(self, ctx, tag):
        from ..elfs_plugin.errors import ElfsError

        try:
            self._names(ctx, tag)
        except ElfsError as error:
            return str(error)
        return None

    def _names(self, ctx, tag):
        """(tag, name of the view) to save under; raises an error for a name that cannot be taken."""
        from ..elfs_plugin.runs import names

        record, key = self.model(ctx).record, ctx.panel.state.key
        tag = (tag or "").strip() or default_tag(key)
        names.check_tag(ctx.dataset, tag, mine=record.own_tags)
        return tag, names.free_view_name(ctx.dataset, tag, key, mine=record.own_views(ctx.dataset))

    @needs_run
    def on_save(self, ctx):
        """Applies the selection that the page shows: zones, tag and saved view."""
        from ..elfs_plugin import runs

        state, model = ctx.panel.state, self.model(ctx)
        if model.stamp != state.loaded or model.stamp != self.stamp(ctx, model):
            self._look_again(ctx)
            raise runs.Changed(
                f"{_somebody_else(self.model(ctx).selection)} It is shown now: set your cuts again and "
                "save, or save under another name."
            )
        tag, view_name = self._names(ctx, state.tag)
        hard, budget = int(ctx.params.get("hard", state.hard)), int(ctx.params.get("budget", state.budget))
        left_out = model.ranking.left_out(hard, budget)
        with telling(ctx.dataset, state.key):
            runs.select_coreset(
                ctx.dataset,
                state.key,
                budget=budget,
                beta=hard / state.n,
                tag=tag,
                view_name=view_name,
                expected=runs.saved_token(model.record, tag),
            )
        self._look_again(ctx)
        ctx.ops.reload_dataset()
        said = f"{budget:,} images tagged '{tag}' and saved as the view '{view_name}'"
        if left_out:
            ctx.ops.notify(f"{said}. {_no_image_of(left_out)}", variant="warning")
        else:
            ctx.ops.notify(said, variant="success")

    def _look_again(self, ctx):
        """The page shows what is saved now."""
        ctx.params.pop("stamp", None)
        ctx.panel.state.loaded = None
        self.refresh(ctx)

    @guarded
    def on_export(self, ctx):
        self.prompt(ctx, "export_coreset")

    @needs_run
    def on_annotate(self, ctx):
        """Hands the coreset to FiftyOne's annotation plugin; without it, says where to get it."""
        from ..elfs_plugin import runs

        ctx.panel.state.shown = None  # the grid shows the saved coreset, not a zone of the cuts
        ctx.ops.set_view(view=runs.zone_view(runs.Run(ctx.dataset, ctx.panel.state.key), "coreset"))
        if foo.operator_exists("@voxel51/annotation/request_annotations"):
            ctx.prompt("@voxel51/annotation/request_annotations")
        else:
            ctx.ops.notify(
                "The grid shows the saved coreset. Install the plugin @voxel51/annotation to send it to a "
                "labelling tool from here; Export writes files for any tool.",
                variant="info",
            )

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
            table=model.table,
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
        self._render_beta(panel, state, model, seen)
        self._render_save(panel, state, model, seen)

    def _render_sliders(self, panel, state, model):
        # The values live in the state alone, so that an older answer of the server cannot be drawn over newer numbers;
        # and what is drawn with another value than the state's the browser reports as if the user had set it.
        stand_in = {"className": "elfs-stand-in"}
        metrics = wrapping(panel, "metrics", grid=stand_in)
        n = state.n
        values = {"scored": n, "hard": state.hard, "coreset": state.budget, "easy": n - state.hard - state.budget}
        for name, label in METRICS.items():
            value(metrics, name, label, f"{values[name]:,}")
        traces = histogram_figure(model.table, state.hard, state.budget)
        box = panel.grid("stand_in", orientation="vertical", columns=1, componentsProps={"grid": stand_in})
        plot(box, "histogram", traces, histogram_layout(model.table))
        for name, label, low in (("beta_percent", "β, %", 0), ("budget_percent", "Budget, %", 0.01)):
            number = types.Number(min=low, max=100, float=True)
            slider = types.SliderView(
                min=low, max=100, value_precision=2, label_position="left", componentsProps={"container": stand_in}
            )
            panel.define_property(name, number, label=label, view=slider, on_change=self.on_slide)
        typed = types.FieldView(componentsProps={"container": stand_in})
        panel.int("images", label="Images to keep", view=typed, on_change=self.on_images)
        if state.limit:
            alert = types.AlertView(severity="warning", label=state.limit, componentsProps={"container": stand_in})
            panel.view("limit", alert)

    def _render_show(self, panel, state, model, seen):
        show = wrapping(panel, "show")
        for zone, label in SHOWN.items():
            variant = "contained" if state.shown == zone else "outlined"
            show.btn(
                f"show_{zone}", label=label, variant=variant, on_click=getattr(self, f"on_show_{zone}"), params=seen
            )
        show.btn("plot", label="Embedding plot", icon="scatter_plot", variant="outlined", on_click=self.on_plot)
        how = wrapping(panel, "how")
        orders = types.DropdownView()
        for name, label in ORDERS.items():
            orders.add_choice(name, label=label)
        how.enum(
            "order",
            orders.values(),
            default=state.order or "hardest",
            label="Order",
            view=orders,
            on_change=self.on_order,
        )
        clusters = types.DropdownView()
        clusters.add_choice(ALL_CLUSTERS, label="All clusters")
        for name in model.cluster_names:
            clusters.add_choice(name, label=name)
        how.enum(
            "cluster",
            clusters.values(),
            default=state.cluster or ALL_CLUSTERS,
            label="Cluster",
            view=clusters,
            on_change=self.on_cluster,
        )

    def _render_beta(self, panel, state, model, seen):
        curve = model.results.get("beta")
        buttons = wrapping(panel, "beta_buttons")
        buttons.btn(
            "find_beta",
            label="Find β",
            icon="search",
            variant="outlined",
            disabled=model.running,
            on_click=self.on_find_beta,
        )
        buttons.btn(
            "find_beta_on_images",
            label="Find β on the images",
            icon="image_search",
            variant="outlined",
            disabled=model.running,
            on_click=self.on_find_beta_on_images,
        )
        buttons.btn("use_usual", label="Use the usual β", variant="outlined", on_click=self.on_use_usual, params=seen)
        if model.selection:
            saved = (model.selection["hard"], model.selection["coreset"])
            buttons.btn(
                "back",
                label="Back to the saved cuts",
                icon="undo",
                variant="outlined",
                params=seen,
                disabled=saved == (state.hard, state.budget),
                on_click=self.on_back,
            )
        if not curve:
            updated = bool(model.job and model.job["operation"] == "Updating the run")
            older = "No β has been searched yet."
            if state.searched or updated:
                older = (
                    "No β has been searched for the scores as they are now: a curve from before they changed was "
                    "for the older ones, and is gone."
                )
            panel.md(
                f"{older} *Find β* tries several with small models on the embeddings, in seconds: "
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

    def _render_save(self, panel, state, model, seen):
        panel.str("tag", default=state.tag, label="Save as tag and view", on_change=self.on_tag)
        if state.tag_problem:
            panel.view("tag_problem", types.AlertView(severity="error", label=state.tag_problem))
        left_out = model.ranking.left_out(state.hard, state.budget)
        if left_out:
            panel.view("left_out", types.AlertView(severity="warning", label=_no_image_of(left_out)))
        if seen["stamp"] != model.stamp:
            text = f"{_somebody_else(model.selection)} *Save coreset* shows it first."
            panel.view("somebody_else", types.AlertView(severity="warning", label=text))
        if model.running:
            text = f"{model.job['operation']} is at work on this run: saving waits until it is done."
            panel.view("waits", types.AlertView(severity="info", label=text))
        save = wrapping(panel, "save")
        save.btn(
            "save_coreset",
            label="Save coreset",
            icon="bookmark",
            variant="contained",
            disabled=model.running,
            params={**seen, "hard": state.hard, "budget": state.budget},
            on_click=self.on_save,
        )
        if model.selection:
            save.btn("annotate", label="Label …", icon="edit", variant="outlined", on_click=self.on_annotate)
            save.btn("export", label="Export …", icon="download", variant="outlined", on_click=self.on_export)


def default_tag(key):
    return f"{key}_coreset"


def _no_image_of(clusters):
    """What a coreset lacks, in a sentence; ``clusters``: [(name, size)]."""
    listed = ", ".join(f"{name} ({size:,} images)" for name, size in clusters[:NAMED])
    more = f", and of {len(clusters) - NAMED} more clusters" if len(clusters) > NAMED else ""
    return f"The coreset has no image of {listed}{more}. A smaller β or a larger budget may bring some in."


def _somebody_else(selection):
    what = "something else"
    if selection:
        scored = sum(selection.get(name) or 0 for name in ("hard", "coreset", "easy"))
        share = f", β = {selection['hard'] / scored:.1%}" if selection.get("easy") is not None and scored else ""
        what = f"another coreset ({selection['coreset']:,} images{share})"
    return f"Somebody else has saved {what} since you last looked, or you have in another place."


def _clip(value, low, high):
    return int(min(max(value, low), high))
