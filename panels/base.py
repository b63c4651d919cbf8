"""What the panel's parts are drawn with, and how their errors become notifications."""

import functools
import logging
from contextlib import contextmanager
from urllib.parse import quote

import fiftyone.operators.types as types

logger = logging.getLogger(__name__)

PLUGIN = "@elfs/coreset"
WRITTEN_ANEW = "The run is being written anew; wait until it is done."


def guarded(callback):
    """Turns an error into a notification."""

    @functools.wraps(callback)
    def wrapper(self, ctx):
        try:
            return callback(self, ctx)
        except Exception as error:  # logged and shown; raising would replace the panel by a traceback
            ctx.ops.notify(sentence(ctx, error), variant="error")

    return wrapper


def needs_run(callback):
    """A guarded callback that works on a finished run; where there is none now, the user is told why."""

    @guarded
    @functools.wraps(callback)
    def wrapper(self, ctx):
        self.require_ready(ctx)
        return callback(self, ctx)

    return wrapper


def sentence(ctx, error):
    """An error in words for the user: what was pressed or drawn may be older than what is in the database."""
    from ..elfs_plugin.errors import ElfsError, explain

    if isinstance(error, ElfsError):
        return str(error)
    logger.error("coreset panel", exc_info=error)
    try:
        return _what_changed(ctx) or explain(error, resumes=False)
    except Exception:  # the database itself may be away
        return explain(error, resumes=False)


def _what_changed(ctx):
    """What happened to the dataset or the run meanwhile, or None."""
    from ..elfs_plugin import runs

    if ctx.dataset is None or ctx.dataset.deleted:
        return "The dataset has been deleted. Open another one."
    key = ctx.panel.state.key
    job = runs.read_job(ctx.dataset, key) if key else None
    return WRITTEN_ANEW if job and job["state"] == "running" else None


@contextmanager
def one_message(ctx):
    """Sends what an event changes in the panel's state as one message, ahead of what it draws.

    The browser takes each message for itself: it saves the workspace and asks the server for the page again. And a
    field that was drawn before its state came would write an older state back.
    """
    ops, changes = ctx.ops, {}
    patch, show = ops.patch_panel_state, ops.show_panel_output

    def send():
        if changes:
            patch(dict(changes))
            changes.clear()

    def draw(*args, **kwargs):
        send()
        return show(*args, **kwargs)

    ops.patch_panel_state, ops.show_panel_output = changes.update, draw
    try:
        yield
    finally:
        ops.patch_panel_state, ops.show_panel_output = patch, show
        send()


def set_new(state, **values):
    """Sets what differs, so that an event that changes nothing sends nothing.

    What a list or the tabs were set to, the browser's state holds already. Sent back, it would undo a newer choice, and
    the App reports what it then shows as one more choice: two tabs have taken turns for ever.
    """
    for name, value in values.items():
        if getattr(state, name) != value:
            setattr(state, name, value)


def wrapping(panel, name, **options):
    """A row of items as wide as they are, which goes on in the next line where the panel is narrow."""
    as_wide_as_they_are = {"grid": {"sx": {"& > div": {"width": "auto"}}, **options.pop("grid", {})}}
    return panel.grid(
        name, orientation="2d", gap=1, align_x="left", align_y="center", componentsProps=as_wide_as_they_are, **options
    )


def choice(panel, name, values, *, view=types.DropdownView, **options):
    """One of a few values; ``values``: names that speak for themselves, or a dict of value -> label."""
    shown = view()
    for value, label in (values if isinstance(values, dict) else dict(zip(values, values))).items():
        shown.add_choice(value, label=label)
    panel.enum(name, shown.values(), view=shown, **options)


def plot(panel, name, traces, layout, **events):
    """A Plotly figure, as part of what is drawn.

    Not in the panel's data: with the first list or field that the user touches, the browser copies all of that into
    the state, which goes with every request, and lays later figures over it, number by number.
    """
    config = {"displayModeBar": False, "responsive": True}
    panel.plot(name, data=traces, layout=layout, config=config, height=f"{layout['height']}px", **events)


def download(ctx, filename, text):
    """Hands a small text file to the browser; nothing is written where the App runs."""
    ctx.ops.browser_download(f"data:text/csv;charset=utf-8,{quote(text)}", filename)


def value(panel, name, label, text):
    """A small label with a value beside it."""
    panel.str(name, default=text, label=label, view=types.LabelValueView(label=label, read_only=True))
