"""The part of the tab *Tune* that searches β: its buttons, its curve, and the cut that follows."""

from ..elfs_plugin.proxy import kinds
from ..elfs_plugin.pruning.zones import count_hard
from .base import needs_run, plot, wrapping
from .cuts import Cuts
from .figures import curve_figure, curve_layout

FOR_EMBEDDINGS, FOR_IMAGES = "for a model on these embeddings", "for a network that learns from the images alone"


class SearchBeta(Cuts):
    @needs_run
    def on_find_beta(self, ctx):
        self._search(ctx, kinds.ON_EMBEDDINGS, "Searching β …")

    @needs_run
    def on_find_beta_on_images(self, ctx):
        self._search(
            ctx, kinds.ON_IMAGES_WITHOUT_GPU, "Searching β on the images: this takes minutes, and can be cancelled."
        )

    def _search(self, ctx, proxy, message):
        self.start(ctx, "search_beta", budget=ctx.panel.state.budget, budget_unit="images", proxy=proxy)
        ctx.ops.notify(message, variant="info")

    def take_searched(self, ctx):
        """The β that a search has found becomes the cut."""
        from ..elfs_plugin import runs

        state = ctx.panel.state
        curve = runs.Run(ctx.dataset, state.key).results.get("beta")
        if curve and state.n:
            state.chosen_beta = curve["chosen"]
            self.take_cut(ctx, count_hard(curve["chosen"], state.n), state.budget)

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
        self.apply_cut(ctx, count_hard(beta, state.n), state.budget)

    def render_beta(self, panel, state, model, seen):
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
            updated = bool(model.job and model.job.get("kind") == "update")
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
        purpose = FOR_EMBEDDINGS if curve.get("proxy", kinds.ON_EMBEDDINGS) == kinds.ON_EMBEDDINGS else FOR_IMAGES
        panel.md(f"Searched {purpose}. {curve['reason']} {note}", name="reason")
