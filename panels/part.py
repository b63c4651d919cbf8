"""What every part of the panel has: a tab, if it is one, and the tools that all parts share.

All parts are one panel in the end, for FiftyOne wants the callbacks (``on_…``) as methods of the panel. So no two of
them share a name, and a part that needs more than this of another one is a subclass of it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import fiftyone.operators.types as types

from .base import PLUGIN, guarded
from .model import Model


@dataclass(frozen=True)
class Tab:
    """A tab. Its functions are methods of the part, and get the panel as ``self``.

    ``render(panel, ctx, model)`` draws it, ``load(ctx, model)`` sets its data while it is shown, and ``after`` maps the
    kind of a job, see :func:`~..elfs_plugin.runs.jobs.job`, to what follows, ``(ctx)``, when one has been completed.
    """

    name: str
    label: str
    render: Callable
    load: Callable | None = None
    after: Mapping = field(default_factory=dict)


class Part:
    """A part of the panel: its callbacks, and what draws it."""

    tab = None
    """The part's :class:`Tab`; None for a part that is drawn by others."""

    def model(self, ctx):
        """The dataset's run as it is now, read once for an event."""
        found = getattr(ctx, "_elfs_model", None)
        if found is None or found.key != ctx.panel.state.key:
            found = ctx._elfs_model = Model(ctx)
        return found

    def refresh(self, ctx):
        """Reads the run into the panel's state and data; the panel as a whole does that."""
        raise NotImplementedError

    def require_ready(self, ctx):
        """Raises an error with a sentence unless there is a finished run, whose cuts are in the state."""
        from ..elfs_plugin.errors import InvalidInput

        state = ctx.panel.state
        if self.model(ctx).phase != "ready" or state.hard is None or state.n != self.model(ctx).n:
            self.refresh(ctx)
        model = self.model(ctx)
        if model.phase != "ready":
            raise InvalidInput(model.why_not)

    def stamp(self, ctx, model):
        """What the page had been drawn with when its button was pressed; tabs of a browser share all other state."""
        return ctx.params.get("stamp") or model.stamp

    def prompt(self, ctx, operator, **params):
        """Opens an operator's form; the panel is refreshed when it is done."""
        if ctx.panel.state.key:
            params = {"key": ctx.panel.state.key, **params}
        ctx.prompt(f"{PLUGIN}/{operator}", params=params, on_success=self.on_operator_done)

    @guarded
    def on_operator_done(self, ctx):
        ctx.panel.state.loaded = None
        self.refresh(ctx)

    def start(self, ctx, operator, **params):
        """Starts a job in the background; the panel shows its progress."""
        from ..elfs_plugin.errors import InvalidInput

        if self.model(ctx).running:
            raise InvalidInput("A job is running on this dataset. Wait for it, or cancel it.")
        ctx.panel.state.expected = time.time()  # the clock runs fast until the job is seen
        ctx.trigger(f"{PLUGIN}/{operator}", params={"key": ctx.panel.state.key, "progress": "panel", **params})

    def render_stale(self, panel, model, name):
        """A line that says that an analysis is older than the run."""
        from ..elfs_plugin import runs

        text = runs.stale(model.results, model.record).get(name)
        if text:
            panel.view(f"stale_{name}", types.AlertView(severity="warning", label=text))
