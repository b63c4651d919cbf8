"""The part of the tab *Tune* that saves the coreset, and hands it on: to a labelling tool, to files."""

import fiftyone.operators as foo
import fiftyone.operators.types as types

from ..elfs_plugin.pruning.zones import ZONES
from .base import guarded, needs_run, set_new, wrapping
from .cuts import Cuts, free_tag
from .told import telling

NAMED = 5
"""Clusters without an image in the coreset that are named; of more only the number is told."""


class Save(Cuts):
    @guarded
    def on_tag(self, ctx):
        """A name was typed: what speaks against it is told beside it, before anything is written."""
        state = ctx.panel.state
        set_new(state, tag=ctx.params.get("value"))
        set_new(state, tag_problem=self._tag_problem(ctx, state.tag))

    def _tag_problem(self, ctx, tag):
        from ..elfs_plugin.errors import ElfsError

        try:
            self.names(ctx, tag)
        except ElfsError as error:
            return str(error)
        return None

    def names(self, ctx, tag):
        """(tag, name of the view) to save under; raises an error for a name that cannot be taken."""
        from ..elfs_plugin.runs import names, saving

        model, key = self.model(ctx), ctx.panel.state.key
        record, tag = model.record, (tag or "").strip() or free_tag(model)
        saving.check_names(ctx.dataset, record, tag, None)
        return tag, names.free_view_name(ctx.dataset, tag, key, mine=record.own_views(ctx.dataset))

    @needs_run
    def on_save(self, ctx):
        """Applies the selection that the page shows: zones, tag and saved view."""
        from ..elfs_plugin import runs

        state, model = ctx.panel.state, self.model(ctx)
        if model.stamp != state.loaded or model.stamp != self.stamp(ctx, model):
            self._look_again(ctx)
            raise runs.Changed(
                f"{_somebody_else(self.model(ctx))} It is shown now: set your cuts again and "
                "save, or save under another name."
            )
        tag, view_name = self.names(ctx, state.tag)
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
        said = f"{model.noun.count(budget)} tagged '{tag}' and saved as the view '{view_name}'"
        if left_out:
            ctx.ops.notify(f"{said}. {_no_image_of(left_out, model.noun)}", variant="warning")
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
        from ..elfs_plugin import runs

        self.annotate(ctx, runs.zone_view(runs.Run(ctx.dataset, ctx.panel.state.key), "coreset"))

    def annotate(self, ctx, view):
        """Hands a saved coreset to FiftyOne's annotation plugin; without it, says where to get it."""
        ctx.panel.state.shown = None  # the grid shows the saved coreset, not a zone of the cuts
        ctx.ops.set_view(view=view)
        if foo.operator_exists("@voxel51/annotation/request_annotations"):
            ctx.prompt("@voxel51/annotation/request_annotations")
        else:
            ctx.ops.notify(
                "The grid shows the saved coreset. Install the plugin @voxel51/annotation to send it to a "
                "labelling tool from here; Export writes files for any tool.",
                variant="info",
            )

    def render_save(self, panel, state, model, seen):
        panel.str("tag", default=state.tag, label="Save as tag and view", on_change=self.on_tag)
        if state.tag_problem:
            panel.view("tag_problem", types.AlertView(severity="error", label=state.tag_problem))
        left_out = model.ranking.left_out(state.hard, state.budget)
        if left_out:
            panel.view("left_out", types.AlertView(severity="warning", label=_no_image_of(left_out, model.noun)))
        if seen["stamp"] != model.stamp:
            text = f"{_somebody_else(model)} *Save coreset* shows it first."
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
            if model.is_of_rows:
                label = "Write back to the source …"
                save.btn("write_back", label=label, icon="reply", variant="outlined", on_click=self.on_write_back)


def _no_image_of(clusters, noun):
    """What a coreset lacks, in a sentence; ``clusters``: [(name, size)]."""
    listed = ", ".join(f"{name} ({noun.count(size)})" for name, size in clusters[:NAMED])
    more = f", and of {len(clusters) - NAMED} more clusters" if len(clusters) > NAMED else ""
    return f"The coreset has no {noun.one} of {listed}{more}. A smaller β or a larger budget may bring some in."


def _somebody_else(model):
    what, selection = "something else", model.selection
    if selection:
        scored = sum(selection.get(zone) or 0 for zone in ZONES)
        share = f", β = {selection['hard'] / scored:.1%}" if selection.get("easy") is not None and scored else ""
        what = f"another coreset ({model.noun.count(selection['coreset'])}{share})"
    return f"Somebody else has saved {what} since you last looked, or you have in another place."
