"""The tab *Recommended*: which method for this budget, and what it chooses beside ELFS."""

import fiftyone.operators.types as types

from ..elfs_plugin.runs.names import choice_tag
from ..elfs_plugin.selectors.recommend import AUTO, LEARNERS
from .base import choice, guarded, needs_run, set_new, value, wrapping
from .card import Card
from .part import Tab
from .save import Save

ELFS, TUNE = "elfs", "tune"
PICTURES = 8
"""Images of each kind that are drawn in the panel."""

GROUP = "group"
SHOWN = {
    "chosen": "Chosen",
    "only_chosen": "Only {method}",
    "only_elfs": "Only ELFS",
    "both": "Both",
    "neither": "Neither",
}
"""The parts of :func:`~..elfs_plugin.runs.beside.beside_view`, and the labels of their buttons."""


class Recommended(Save, Card):
    # What to choose by

    @needs_run
    def on_recommended_images(self, ctx):
        self.take_images(ctx, self.take_cut)

    @guarded
    def on_learner(self, ctx):
        set_new(ctx.panel.state, learner=ctx.params.get("value"))

    @needs_run
    def on_choose(self, ctx):
        """Chooses what the pressed button says, and replaces what was chosen under its tag before."""
        params = ctx.params
        tag, view_name = self.names(ctx, params["tag"])
        learner = {"learner": params["learner"]} if params["by"] == AUTO else {}
        self.start(
            ctx,
            "select_coreset",
            method=params["by"],
            budget=params["budget"],
            budget_unit="images",
            tag=tag,
            view_name=view_name,
            **learner,
        )

    @needs_run
    def on_choose_with_settings(self, ctx):
        state = ctx.panel.state
        asked = {"learner": _learner(state), "budget": state.budget, "budget_unit": "images"}
        self.prompt(ctx, "select_coreset", method=AUTO, **asked)

    @guarded
    def on_open_tune(self, ctx):
        set_new(ctx.panel.state, tab=TUNE)
        self.refresh(ctx)

    def show_newest(self, ctx):
        """A coreset has been chosen: it is the one to look at."""
        set_new(ctx.panel.state, chosen_tag=None)

    # What was chosen

    @guarded
    def on_chosen_tag(self, ctx):
        set_new(ctx.panel.state, chosen_tag=ctx.params.get("value"))

    @needs_run
    def on_beside(self, ctx):
        """Shows a part of the chosen coreset and of ELFS's in the grid."""
        part = ctx.params["part"]
        ctx.ops.set_view(view=self._part(ctx, ctx.params["tag"], part))
        ctx.panel.state.shown = part

    @needs_run
    def on_group(self, ctx):
        """Shows the selected image with the one that stands for it, and with what that stands for."""
        from ..elfs_plugin import runs

        view = runs.group_view(self.model(ctx).run, ctx.params["tag"], ctx.params["sample"])
        ctx.ops.set_view(view=view)
        ctx.panel.state.shown = GROUP

    @needs_run
    def on_label_chosen(self, ctx):
        self.annotate(ctx, self._part(ctx, ctx.params["tag"], "chosen"))

    @guarded
    def on_export_chosen(self, ctx):
        self.prompt(ctx, "export_coreset", tag=ctx.params["tag"])

    def _part(self, ctx, tag, part):
        from ..elfs_plugin import runs

        state = ctx.panel.state
        return runs.beside_view(self.model(ctx).run, tag, state.hard, state.budget, part)

    # Layout

    def render_recommended(self, panel, ctx, model):
        from ..elfs_plugin import runs

        state = ctx.panel.state
        self._render_question(panel, state, model)
        advice = runs.advice(model.run, state.budget, learner=_learner(state))
        self._render_advice(panel, state, model, advice)
        tags = runs.tags_by_method(model.run)
        if tags:
            tag = state.chosen_tag if state.chosen_tag in tags else tags[0]
            self._render_chosen(panel, ctx, model, tags, tag, advice)
        else:
            text = (
                "Nothing chosen yet. What is chosen gets a tag and a saved view of its own; the cuts and zones of ELFS "
                "stay as they are, and are set beside it here."
            )
            panel.md(text, name="nothing_chosen")
        if not ctx.current_sample:  # whose card is drawn above the tabs
            self.render_card(panel, ctx, model)

    def _render_question(self, panel, state, model):
        # Values of the state alone, see the sliders of the tab *Tune*.
        panel.int("images", label=f"Budget, {model.noun.many}", on_change=self.on_recommended_images)
        choice(
            panel, "learner", LEARNERS, default=_learner(state), label="The labels are for", on_change=self.on_learner
        )
        if state.limit:
            panel.view("limit", types.AlertView(severity="warning", label=state.limit))

    def _render_advice(self, panel, state, model, found):
        panel.md(f"**Recommended: {found.method}.** {found.reason} Second: **{found.second}**.", name="advice")
        row = wrapping(panel, "choosing")
        tags = {found.method: choice_tag(model.key, AUTO), found.second: choice_tag(model.key, found.second)}
        for method, tag in tags.items():
            first = method == found.method
            variant = "contained" if first else "outlined"
            if method == ELFS:
                row.btn("choose_elfs", label="Set the cuts of ELFS", variant=variant, on_click=self.on_open_tune)
                continue
            row.btn(
                "choose_first" if first else "choose_second",
                label=f"Choose by {method}",
                icon="auto_awesome" if first else None,
                variant=variant,
                disabled=model.running,
                params={
                    "by": AUTO if first else method,
                    "budget": state.budget,
                    "learner": _learner(state),
                    "tag": tag,
                },
                on_click=self.on_choose,
            )
        row.btn("choose_with", label="More settings …", variant="outlined", on_click=self.on_choose_with_settings)

    def _render_chosen(self, panel, ctx, model, tags, tag, advice):
        from ..elfs_plugin import runs

        state, saved = ctx.panel.state, model.record.saved[tag]
        panel.md("---", name="chosen_line")
        if len(tags) > 1:
            named = {name: f"{name} ({model.record.saved[name]['method']})" for name in tags}
            choice(panel, "chosen_tag", named, default=tag, label="Coreset", on_change=self.on_chosen_tag)
        found = runs.compare_beside(model.run, tag, state.hard, state.budget)
        panel.md(_headline(tag, saved, found, state, advice, model.noun), name="chosen_title")
        for name, severity in (("warnings", "warning"), ("notes", "info")):
            for at, text in enumerate(saved.get(name) or []):
                panel.view(f"chosen_{name}_{at}", types.AlertView(severity=severity, label=text))
        if not found.chosen:
            return
        row = wrapping(panel, "chosen_numbers")
        for at, (label, text) in enumerate(_numbers(found).items()):
            value(row, f"chosen_number_{at}", label, text)
        self._render_buttons(panel, ctx, tag, saved["method"])
        self._render_pictures(panel, ctx, tag, saved["method"])

    def _render_buttons(self, panel, ctx, tag, method):
        state, row = ctx.panel.state, wrapping(panel, "beside")
        for part, label in SHOWN.items():
            row.btn(
                f"beside_{part}",
                label=label.format(method=method),
                variant="contained" if state.shown == part else "outlined",
                params={"part": part, "tag": tag},
                on_click=self.on_beside,
            )
        sample = ctx.current_sample or state.sample
        if sample:
            row.btn(
                "beside_group",
                label="Group of the selected image",
                variant="contained" if state.shown == GROUP else "outlined",
                params={"sample": sample, "tag": tag},
                on_click=self.on_group,
            )
        hand_on = wrapping(panel, "hand_on")
        seen = {"tag": tag}
        hand_on.btn(
            "label_chosen", label="Label …", icon="edit", variant="outlined", params=seen, on_click=self.on_label_chosen
        )
        hand_on.btn(
            "export_chosen",
            label="Export …",
            icon="download",
            variant="outlined",
            params=seen,
            on_click=self.on_export_chosen,
        )

    def _render_pictures(self, panel, ctx, tag, method):
        from ..elfs_plugin.encoders.thumbnails import thumbnail

        titles = {"chosen": f"The first that {method} has chosen", "only_elfs": "Hardest of those that only ELFS keeps"}
        for part, title in titles.items():
            paths = self._part(ctx, tag, part).limit(PICTURES).values("filepath")
            pictures = [picture for picture in map(thumbnail, paths) if picture]
            if not pictures:
                continue
            panel.md(title, name=f"pictures_{part}_title")
            row = wrapping(panel, f"pictures_{part}")
            for at, picture in enumerate(pictures):
                view = types.ImageView(height="72px", width="72px", read_only=True)
                row.str(f"picture_{part}_{at}", default=picture, view=view)

    tab = Tab("recommended", "Recommended", render_recommended, after={"choice": show_newest})


def _learner(state):
    return state.learner if state.learner in LEARNERS else next(iter(LEARNERS))


def _headline(tag, saved, found, state, advice, noun):
    """What was chosen, by which method and why, where ``advice`` does not say it, and beside what it is set."""
    if not found.chosen:
        return f"No {noun.one} has the tag `{tag}` any more. Choose again."
    reason = (saved.get("recommended") or {}).get("reason")
    why = f" Recommended for {reason[0].lower() + reason[1:]}" if reason and reason != advice.reason else ""
    gone = saved.get("budget", found.chosen) - found.chosen
    lost = f" {gone:,} more have lost it or are gone." if gone > 0 else ""
    beside = f"Beside ELFS with the cuts of the tab Tune: β = {state.hard / state.n:.1%}, {noun.count(state.budget)}."
    return f"**{noun.count(found.chosen)} by {saved['method']}**, tagged `{tag}`.{lost}{why}\n\n{beside}"


def _numbers(found):
    without = f"{found.clusters_without:,} of {found.clusters:,}" if found.clusters_without else "none"
    return {
        "shared with ELFS": f"{found.shared:,} ({found.shared / found.chosen:.0%})",
        "by chance": f"{found.by_chance:,.1f} ({found.by_chance / found.chosen:.0%})",
        "clusters without an image": without,
    }
