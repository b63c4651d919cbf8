"""The tab *Label*: rounds of labelling, and the next step."""

import json
from datetime import datetime

import fiftyone.operators as foo
import fiftyone.operators.types as types

from .base import PLUGIN, choice, guarded, needs_run, plot, set_new, value, wrapping
from .figures import golden_figure, golden_layout
from .part import Part, Tab
from .told import telling

ABOUT = (
    "In each round a batch is chosen, sent to be labelled, and its labels are taken back; what they teach decides on "
    "the next batch. A golden set, drawn at random and never chosen, measures whether another round is worth it. "
    "Pre-labels that nobody has looked at never count as labels."
)
IN_APP_HELP = (
    "In the opened image's *Annotate* press the label (*Classification*) and pick the class. The App begins with the "
    "class that was used last, and keeps it at once: look at it before you go on. From an image that is opened in the "
    "grid the arrow keys lead through the batch; this panel is also a tab beside the open image."
)
REQUEST = "@voxel51/annotation/request_annotations"
"""Where it is installed: FiftyOne's own forms for annotation back ends. Its labels come into the field as well."""

STEPS = {
    "choose": ("Choose the next batch", "auto_awesome", "next_batch"),
    "send": ("Send", "send", "send_batch"),
    "take_back": ("Take back", "move_to_inbox", "take_back"),
    "learn": ("Learn", "school", "learn_labels"),
}
"""Name of a step -> its button, icon and operator."""

PARTS = {
    "batch": "Batch",
    "changed": "Changed pre-labels",
    "unexpected": "Unlike their cluster",
    "disagreed": "Disagreements",
    "skipped": "Skipped",
}
"""The parts of :func:`~..elfs_plugin.runs.rounds.views.round_view`, and the labels of their buttons."""

COLUMNS = {
    "round": "round",
    "state": "state",
    "chosen": "chosen",
    "to": "sent to",
    "labelled": "labelled",
    "skipped": "skipped",
    "waiting": "waiting",
    "golden": "golden set, %",
}
WAITING = "waiting"
SHOWN = "shown by ELFS"
"""In the views of this tab; of the last one a line of its own, see :func:`_show`."""


class Label(Part):
    # The next step

    @needs_run
    def on_round_step(self, ctx):
        """Opens the form of a step."""
        number = ctx.params.get("round")
        self.prompt(ctx, ctx.params["operator"], **({} if number is None else {"round": number}))

    @needs_run
    def on_label_next(self, ctx):
        """Opens the image whose turn it is; the grid shows those that wait."""
        self._open_next(ctx, ctx.params["round"])

    def _open_next(self, ctx, number):
        from ..elfs_plugin.runs.rounds import queue

        run = self.model(ctx).run
        found = queue.next_waiting(run, ctx.current_sample, number)
        if found is None:
            ctx.ops.notify(f"No other image of round {number} waits for a label.", variant="info")
            return
        if not ctx.current_sample:  # a new view closes an image that is open
            self._show_waiting(ctx, number)
        # What is opened in Annotate at once has its pre-label hidden there.
        mode = "explore" if queue.prelabel_of(run, found) else "annotate"
        ctx.trigger("open_sample", {"id": found, "mode": mode})
        if not ctx.current_sample:
            ctx.trigger(f"{PLUGIN}/take_fields")

    @needs_run
    def on_label_skip(self, ctx):
        """Skips the image that is open, or those that are selected."""
        from ..elfs_plugin.errors import InvalidInput
        from ..elfs_plugin.runs.rounds import queue

        ids = [ctx.current_sample] if ctx.current_sample else list(ctx.selected or [])
        if not ids:
            raise InvalidInput("Open the image that is not to be labelled, or select some in the grid.")
        key = ctx.panel.state.key
        with telling(ctx.dataset, key):
            skipped = queue.skip(ctx.dataset, key, ids)
        self.refresh(ctx)
        ctx.ops.notify(f"{skipped:,} image{'s' * (skipped != 1)} skipped", variant="success")
        if ctx.current_sample:
            self._open_next(ctx, ctx.params["round"])
        else:
            ctx.ops.clear_selected_samples()
            ctx.ops.reload_samples()
            self._follow(ctx, ctx.params["round"])

    @needs_run
    def on_label_ask_again(self, ctx):
        """Lets the image that is open, or those that are selected, or else all that are skipped in the round, wait for
        a label again."""
        from ..elfs_plugin.runs.rounds import queue

        key, number = ctx.panel.state.key, ctx.params["round"]
        ids = [ctx.current_sample] if ctx.current_sample else list(ctx.selected or []) or None
        with telling(ctx.dataset, key):
            waiting = queue.ask_again(ctx.dataset, key, ids, round=number)
        self.refresh(ctx)
        count = f"{waiting:,} image{'s wait' if waiting != 1 else ' waits'}"
        ctx.ops.notify(f"{count} for a label again", variant="success")
        if not ctx.current_sample:
            ctx.ops.clear_selected_samples()
            self._show_waiting(ctx, number)

    @needs_run
    def on_request_annotations(self, ctx):
        """Opens the form of another plugin for the images that wait."""
        self._show_waiting(ctx, ctx.params["round"])
        ctx.prompt(REQUEST)

    @needs_run
    def on_look_again(self, ctx):
        """Asks the back end how far annotators are."""
        from ..elfs_plugin.runs.rounds.standing import standings

        number = ctx.params["round"]
        found = standings(self.model(ctx).run, number)
        rows = [{"who": one.who, "done": one.done, "total": one.total, "url": one.url} for one in found]
        set_new(ctx.panel.state, standing={"key": ctx.panel.state.key, "round": number, "rows": rows})
        self.refresh(ctx)
        self._follow(ctx, number)

    def _follow(self, ctx, number):
        """The grid, where it has the images that wait, loses those that wait no more."""
        is_there = ctx.panel.state.shown == f"{WAITING} {number}" and _is_shown(ctx)
        if is_there and not ctx.current_sample:  # a new view closes an image that is open
            self._show_waiting(ctx, number)

    def _show_waiting(self, ctx, number):
        from ..elfs_plugin.runs.rounds import queue

        _show(ctx, queue.waiting_view(self.model(ctx).run, number))
        ctx.panel.state.shown = f"{WAITING} {number}"

    def is_labelling(self, ctx):
        """Whether the panel is beside an image of a round that is being labelled in the App."""
        from ..elfs_plugin.runs.rounds import queue

        model = self.model(ctx)
        return bool(ctx.current_sample and model.phase == "ready") and queue.is_labelled_here(
            model.run, ctx.current_sample
        )

    # A round

    @guarded
    def on_label_round(self, ctx):
        set_new(ctx.panel.state, label_round=ctx.params.get("value"))

    @needs_run
    def on_label_part(self, ctx):
        """Shows a part of a round in the grid."""
        from ..elfs_plugin.runs.rounds.views import round_view

        part, number = ctx.params["part"], ctx.params["round"]
        view = round_view(self.model(ctx).run, part, number)
        if not view.limit(1).count():
            ctx.ops.notify(f"Round {number} has no such images.", variant="info")
            return
        _show(ctx, view)
        ctx.panel.state.shown = f"{part} {number}"

    def show_last_round(self, ctx):
        """A job on the rounds is done: the last round is the one to look at, and what annotators had done is old."""
        set_new(ctx.panel.state, label_round=None, standing=None)

    # Layout

    def render_label(self, panel, ctx, model):
        from ..elfs_plugin.runs.rounds.state import labelling_of
        from ..elfs_plugin.runs.rounds.timeline import measurements, next_step, timeline

        entries = timeline(model.run, model.counted)
        waiting = entries[-1].counts.waiting if entries and entries[-1].counts else None
        step = next_step(model.run, waiting)
        if not entries:
            panel.view("no_rounds", types.AlertView(severity="info", label="No rounds of labelling yet"))
            panel.md(ABOUT, name="label_about")
            self._render_step(panel, model, step, None)
            return
        panel.md(f"**{step.text}**", name="label_step")
        if step.name == "label":
            self._render_queue(panel, ctx, model, entries[-1])
        self._render_step(panel, model, step, entries[-1].number)
        table = types.TableView(componentsProps={"table": {"sx": {"minWidth": 0}}})
        for key, label in COLUMNS.items():
            table.add_column(key, label=label)
        golden = labelling_of(model.record).golden
        # With every drawing: the App labels without an event that would load them anew.
        ctx.panel.set_data(_table_name(entries), [_row(entry, golden) for entry in entries])
        panel.list(_table_name(entries), types.Object(), label="Rounds", view=table)
        measured = measurements(model.run)
        if measured:
            plot(panel, "golden", golden_figure(measured), golden_layout())
        self._render_round(panel, ctx, model, entries)

    def _render_step(self, panel, model, step, number):
        """The next step as the one filled button, the other steps beside it."""
        row = wrapping(panel, "label_steps")
        names = sorted(STEPS, key=lambda name: name != step.name)  # the next one first
        for name in names if number is not None else ("choose",):
            label, icon, operator = STEPS[name]
            params = {"operator": operator}
            if name in ("send", "take_back"):
                params["round"] = number
            row.btn(
                f"label_{name}",
                label="Choose the first batch …" if number is None else f"{label} …",
                icon=icon,
                variant="contained" if name == step.name else "outlined",
                disabled=model.running,
                params=params,
                on_click=self.on_round_step,
            )

    def _render_queue(self, panel, ctx, model, entry):
        """Labelling in the App is the next step: the queue."""
        from ..elfs_plugin.runs.rounds.queue import prelabel_of

        row = wrapping(panel, "label_queue")
        row.btn(
            "label_next",
            label="Label the next image",
            icon="edit",
            variant="contained",
            params={"round": entry.number},
            on_click=self.on_label_next,
        )
        _plain(row, "label_skip", "Skip", "skip_next", entry, self.on_label_skip)
        if foo.operator_exists(REQUEST):
            _plain(row, "label_request", "Request annotations …", "assignment", entry, self.on_request_annotations)
        if entry.counts:
            value(row, "label_left", "left", f"{entry.counts.waiting:,} of {entry.counts.all:,}")
        suggested = prelabel_of(model.run, ctx.current_sample) if ctx.current_sample else None
        if suggested:
            name, confidence = suggested
            value(row, "label_prelabel", "pre-label", name if confidence is None else f"{name} ({confidence:.0%})")
        panel.md(IN_APP_HELP, name="label_help")

    def _render_round(self, panel, ctx, model, entries):
        state = ctx.panel.state
        numbers = {str(entry.number): f"Round {entry.number}" for entry in entries}
        chosen = state.label_round if state.label_round in numbers else str(entries[-1].number)
        entry = next(entry for entry in entries if str(entry.number) == chosen)
        panel.md("---", name="label_line")
        if len(entries) > 1:
            # With the next round another list: of the same name the App would keep what was chosen in the old one.
            name = f"label_round_{len(entries)}"
            choice(panel, name, numbers, default=chosen, label="Round", on_change=self.on_label_round)
        panel.md("\n\n".join(_sentences(entry, model.noun)), name="label_round_text")
        row = wrapping(panel, "label_parts")
        for part, label in PARTS.items():
            row.btn(
                f"label_part_{part}",
                label=label,
                variant="contained" if state.shown == f"{part} {entry.number}" else "outlined",
                params={"part": part, "round": entry.number},
                on_click=self.on_label_part,
            )
        if entry.counts and entry.counts.skipped:
            _plain(row, "label_ask_again", "Ask again", "undo", entry, self.on_label_ask_again)
        if entry.to:
            _plain(row, "look_again", "Look again", "refresh", entry, self.on_look_again)
            self._render_standing(panel, state, entry)

    def _render_standing(self, panel, state, entry):
        asked = state.standing or {}
        if (asked.get("key"), asked.get("round")) != (state.key, entry.number):
            return
        row = wrapping(panel, "standing")
        for at, one in enumerate(asked["rows"]):
            value(row, f"standing_{at}", one["who"], f"{one['done']:,} of {one['total']:,}")
        links = [f"[{one['who']}]({one['url']})" for one in asked["rows"] if one["url"]]
        if links:
            panel.md(f"In the labelling tool: {', '.join(dict.fromkeys(links))}", name="standing_links")

    _followed = dict.fromkeys(("next_batch", "send_batch", "take_back", "learn_labels"), show_last_round)
    tab = Tab("label", "Label", render_label, after=_followed)


def _plain(row, name, label, icon, entry, on_click):
    """A button that is not the next step, for a round."""
    row.btn(name, label=label, icon=icon, variant="outlined", params={"round": entry.number}, on_click=on_click)


def _show(ctx, view):
    """Shows a view as it is now. Of a view equal to one that it has shown the App would show what was in it then,
    also after it is told to load the samples again; so no two are equal."""
    when = datetime.now().isoformat(timespec="milliseconds")
    ctx.ops.set_view(view=view.match({"$comment": f"{SHOWN}, {when}"}))


def _is_shown(ctx):
    """Whether the grid has what :func:`_show` has shown, and no view of the user's."""
    return SHOWN in json.dumps(ctx.request_params.get("view") or [], default=str)


def _table_name(entries):
    """The browser lays new rows over the old ones of the same name; a shorter table would keep some of those."""
    return f"rounds_{len(entries)}"


def _row(entry, golden):
    """A row of the table; the ``golden`` set's images come on top of the first round's."""
    counts, measured = entry.counts, entry.measured
    on_top = f" + {golden:,} golden" if golden and entry.number == 0 else ""
    return {
        "round": str(entry.number),
        "state": entry.state,
        "chosen": f"{entry.chosen:,}{on_top}",
        "to": _title(entry.to) if entry.to else "-",
        "labelled": f"{counts.labelled:,}" if counts else "-",
        "skipped": f"{counts.skipped:,}" if counts else "-",
        "waiting": f"{counts.waiting:,}" if counts else "-",
        "golden": _accuracy(measured) if measured else "-",
    }


def _accuracy(measured):
    spread = "" if measured.standard_error is None else f" ± {100 * measured.standard_error:.1f}"
    return f"{100 * measured.accuracy:.1f}{spread}"


def _title(name):
    """What a back end is called; one that is not there any more by its name."""
    from ..elfs_plugin.runs.rounds.backends.registry import backends

    known = backends()
    return known[name].title if name in known else name


def _sentences(entry, noun):
    """What happened in a round."""
    sources = ", ".join(f"{count:,} {source}" for source, count in entry.sources.items() if count)
    method = f" by {entry.method}" if entry.method else ""
    found = [f"**Round {entry.number}: {noun.count(entry.chosen)}{method}**{f' ({sources})' if sources else ''}."]
    if entry.reason:
        found.append(entry.reason)
    if entry.to:
        parts = [f"\n* {part.annotator or part.key}: {noun.count(part.samples)}, {part.state}" for part in entry.parts]
        found.append(f"Sent to {_title(entry.to)}{':' + ''.join(parts) if len(parts) > 1 else '.'}")
    told = ((name, count) for name, count in entry.returned.items() if _is_told(name, count))
    said = [f"{name.replace('_', ' ')} {_number(count)}" for name, count in told]
    if said:
        found.append(f"Last taken back: {', '.join(said)}.")
    return found


def _is_told(name, count):
    """Whether it is a number that says something."""
    is_number = isinstance(count, (int, float)) and not isinstance(count, bool)
    return is_number and (count > 0 or name == "labelled")


def _number(count):
    return f"{count:,}" if isinstance(count, int) else f"{count:.3g}"
