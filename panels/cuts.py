"""The two cuts through the ranking, which several tabs move, and the grid, which shows their zones."""

from ..elfs_plugin.pruning.zones import count_hard
from .base import set_new
from .part import Part

DEFAULT_BUDGET = 0.1
BORDER = 50
"""Images shown on each side of each cut by *Borderline*."""
ALL_CLUSTERS = "all"
SHOWN = ("hard", "coreset", "easy", "border", "all")
"""What :meth:`Cuts.show` shows; ``state.shown`` may name a view of another tab."""


class Cuts(Part):
    def load_cuts(self, ctx, model):
        """Sets the cuts, where another run or somebody else's selection asks for it."""
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
        from ..elfs_plugin.pruning.zones import resolve_budget

        state, n, selection = ctx.panel.state, model.n, model.selection
        if selection:
            hard, budget = selection["hard"], selection["coreset"]
        else:
            searched = model.record.stages.get("beta", {})
            budget = searched.get("budget") or resolve_budget(DEFAULT_BUDGET, n)
            beta = searched.get("chosen")
            hard = count_hard(prior_beta(budget / n) if beta is None else beta, n)
        # Never the tag of another method's coreset: saving would replace it.
        own = [tag for tag in model.record.tags if "method" not in model.record.saved.get(tag, {})]
        set_new(state, tag=own[-1] if own else free_tag(model), tag_problem=None)
        self.take_cut(ctx, hard, budget)

    def apply_cut(self, ctx, hard, budget, *, answer=False):
        """Takes a cut: into the valid range, to the histogram, and to the grid, which shows the coreset until another
        zone, or all, was asked for. Idempotent."""
        self.take_cut(ctx, hard, budget, answer=answer)
        shown = self.shown(ctx)
        if shown != "all":
            self.show(ctx, shown or "coreset")

    def shown(self, ctx):
        """Which of :data:`SHOWN` the grid shows, as far as is known, or None."""
        shown = ctx.panel.state.shown
        return shown if shown in SHOWN else None

    def take_images(self, ctx, take):
        """A number of images was typed; ``take`` is :meth:`apply_cut`, or :meth:`take_cut` where the grid stays."""
        images = ctx.params.get("value")
        if isinstance(images, (int, float)) and images == images and int(images) != ctx.panel.state.budget:
            self.set_budget(ctx, int(images), take)

    def set_budget(self, ctx, images, take):
        """A budget beside the β that is set, which stays."""
        state = ctx.panel.state
        most = state.n - state.hard
        take(ctx, state.hard, clip(images, 1, most))
        if not 1 <= images <= most:
            most = self.model(ctx).noun.count(most)
            self.say_limit(ctx, f"The budget can be 1 to {most} beside this β; it is {state.budget:,} now.")

    def say_limit(self, ctx, text):
        state = ctx.panel.state
        # The field that was typed in shows what it was given until it is told otherwise.
        state.images, state.beta_percent = state.budget, round(100 * state.hard / state.n, 4)
        state.budget_percent = round(100 * state.budget / state.n, 4)
        state.limit = text

    def take_cut(self, ctx, hard, budget, *, answer=False):
        """``answer``: the live histogram has made this cut itself. Any other has a serial of its own, so that the
        browser can tell which is newer."""
        state = ctx.panel.state
        n = state.n
        budget = clip(budget, 1, n)
        hard = clip(hard, 0, n - budget)
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

    def show(self, ctx, shown):
        """Shows a zone, ``"border"`` or ``"all"`` in the grid, of the cluster and in the order that are chosen."""
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


def default_tag(key):
    return f"{key}_coreset"


def free_tag(model):
    """The tag for a coreset by the cuts; another one where a coreset of another method has the usual one."""
    usual = default_tag(model.key)
    return f"{model.key}_elfs" if "method" in model.record.saved.get(usual, {}) else usual


def clip(value, low, high):
    return int(min(max(value, low), high))
