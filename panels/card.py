"""Why this one? The card of the image that is selected in the grid, or open."""

import fiftyone.operators.types as types

from ..elfs_plugin.pruning.scores import SCORES, STORED
from .base import guarded, value, wrapping
from .part import Part


class Card(Part):
    @guarded
    def on_change_selected(self, ctx):
        ctx.panel.state.sample = _chosen(ctx)

    def selects_another(self, ctx):
        """Whether another image is selected than the one whose card is shown; every new view reports a selection."""
        return _chosen(ctx) != ctx.panel.state.sample

    @guarded
    def on_change_current_sample(self, ctx):
        """Another image was opened; its card is drawn by the render that follows."""

    @guarded
    def on_open_neighbor(self, ctx):
        ctx.ops.open_sample(id=ctx.params["id"])

    @guarded
    def on_show_neighbors(self, ctx):
        """The image and its neighbours in the grid."""
        from ..elfs_plugin import runs

        card = self._read_card(ctx, ctx.panel.state.sample or ctx.current_sample)
        if card:
            ids = [card["id"], *(neighbor["id"] for neighbor in card["neighbors"])]
            ctx.panel.state.shown = None
            ctx.ops.set_view(view=runs.writable(ctx.dataset).select(ids, ordered=True))

    def _read_card(self, ctx, sample_id):
        from ..elfs_plugin import runs

        state = ctx.panel.state
        return runs.card(runs.Run(ctx.dataset, state.key), sample_id, state.hard, state.budget)

    def render_card(self, panel, ctx, model):
        sample_id = ctx.current_sample or ctx.panel.state.sample
        if not sample_id or ctx.panel.state.hard is None:
            return
        from ..elfs_plugin.encoders.thumbnails import thumbnail
        from ..elfs_plugin.errors import ElfsError

        try:
            card = self._read_card(ctx, sample_id)
        except ElfsError as error:
            panel.view("card_problem", types.AlertView(severity="info", label=str(error)))
            return
        box = panel.v_stack("card", gap=1, variant="outline", pad=2)
        top = wrapping(box, "card_top")
        picture = thumbnail(card["filepath"]) if card.get("filepath") else None
        if picture:
            top.str("card_picture", default=picture, view=types.ImageView(height="72px", width="72px", read_only=True))
        top.md(f"**{card['sentence']}**", name="card_reason")
        facts = self._facts(card)
        if facts:
            row = wrapping(box, "card_facts")
            for index, (label, text) in enumerate(facts):
                value(row, f"card_fact_{index}", label, text)
        for index, (tag, reason) in enumerate((card.get("choices") or {}).items()):
            box.md(f"`{tag}`: {reason}", name=f"card_choice_{index}")
        self._render_neighbors(box, card, thumbnail)

    def _facts(self, card):
        if card.get("rank") is None:
            return []
        scores = card["scores"]
        facts = [("rank", f"{card['rank']:,} ({card['percentile']:.1%} are harder)")]
        facts += [(SCORES[name].label, _number(scores.get(name))) for name in STORED]
        facts += [("cluster", card["cluster"]), ("confidence", _share(card["confidence"]))]
        return [*facts, ("heads agree", _share(card["agreement"]))]

    def _render_neighbors(self, box, card, thumbnail):
        near = card.get("neighbors") or []
        if not near:
            if card.get("note"):
                box.md(card["note"], name="card_note")
            return
        box.md("Nearest neighbours", name="card_near_title")
        row = wrapping(box, "card_near")
        for index, neighbor in enumerate(near):
            cell = row.v_stack(f"card_near_{index}", gap=0, maxWidth="96px")
            picture = thumbnail(neighbor["filepath"])
            if picture:
                view = types.ImageView(height="72px", width="72px", read_only=True)
                cell.str(f"card_near_picture_{index}", default=picture, view=view)
            text = f"{neighbor['zone'] or 'unscored'}, {neighbor['cluster']}, {neighbor['similarity']:.2f}"
            cell.md(text, name=f"card_near_text_{index}")
        twins = card.get("near_duplicates") or []
        if twins:
            box.md(f"**{len(twins)} near-duplicate{'s' * (len(twins) > 1)} of it in the coreset.**", name="card_twins")
        box.btn("card_show", label="Show it with its neighbours", variant="outlined", on_click=self.on_show_neighbors)


def _number(value):
    return "-" if value is None else f"{value:.3g}"


def _share(value):
    return "-" if value is None else f"{value:.0%}"


def _chosen(ctx):
    """The id of the image that was selected last, or None."""
    return ctx.selected[-1] if ctx.selected else None
