"""The ELFS Coreset panel: follow a run, tune β and the budget, look at each zone, compare, decide.

Small values live in the panel's state (sent with every request), figures in its data. Callbacks may arrive twice and
must be cheap; none of them may raise, or the App replaces the panel by a traceback.
"""

import hashlib
import json
import time

import fiftyone.operators as foo
import fiftyone.operators.types as types

from .audit import Audit
from .base import PLUGIN, choice, guarded, one_message, sentence, set_new, wrapping
from .budget import Budget
from .clusters import Clusters
from .compare import Compare
from .label import Label
from .progress import progress_text
from .recommended import Recommended
from .rows import RowsOf
from .told import is_telling, telling, was_told
from .tune import Tune

PARTS = (Tune, Recommended, Label, Clusters, Compare, Budget, Audit)
"""The tabs in their order, the first one open at the start."""
TABS = {part.tab.name: part.tab for part in PARTS}
FIRST = PARTS[0].tab.name
HELP = """
**ELFS Coreset** chooses images to label, without labels.

* **too hard**: the β hardest images by AUM, often mislabelled by the clustering or broken
* **coreset**: the budget, what to label
* **too easy**: the rest, learnt from the others

**Tune** β and the budget on the histogram and look at the pictures of each end. **Recommended** names the method for
the budget, which need not be ELFS, and sets its choice beside ELFS's. **Label** goes on in rounds: choose a batch, have
it labelled, learn from the labels, choose the next. **Clusters** says whether the pseudo-labels can be trusted.
**Compare** sets coresets side by side. **Budget** asks how many labels are enough. **Audit** measures with true labels
that you have, and nothing from it flows back.

AUM, the area under the margin: how clearly a small network preferred an image's pseudo-label while it learnt. Low is
hard.
"""
WHILE_RUNNING = 1000
IDLE = 5000
"""Milliseconds between two looks at the job."""
EXPECTED = 20
"""Seconds in which a job that was started is expected to be seen."""
AT_ONCE = ("repair_run",)
"""Operators of findings that ask nothing and are done in a moment: no form for them."""
ONE_OF_TWO = {
    # The browser draws the live histogram, or the sliders where it did not load it: each page decides for itself.
    "&:has(.elfs-cuts) > div:has(.elfs-stand-in)": {"display": "none"},
    "&:not(:has(.elfs-cuts)) > div:has(.elfs-live)": {"display": "none"},
}


class CoresetPanel(*PARTS, RowsOf, foo.Panel):
    @property
    def config(self):
        return foo.PanelConfig(
            name="coreset_panel",
            label="ELFS Coreset",
            icon="content_cut",
            category=foo.Categories.CURATE,
            help_markdown=HELP,
            allow_multiple=False,
            surfaces="grid modal",
        )

    def execute(self, ctx):
        with one_message(ctx):
            # FiftyOne renders after every event. Not after those that found nothing new: their state may be older than
            # what the user has just set, and would be drawn over it.
            event = ctx.params.get("__method__")
            if event == "on_tick":
                if not self.on_tick(ctx):
                    return None
                ctx.params["__method__"] = "on_job_changed"
            elif event == "on_change_selected" and not self.selects_another(ctx):
                return None
            return super().execute(ctx)

    # Events

    @guarded
    def on_load(self, ctx):
        set_new(ctx.panel.state, live=None)  # unknown until the component says that it is there
        if ctx.panel.state.tab is None and self.is_labelling(ctx):
            set_new(ctx.panel.state, tab="label")
        self.refresh(ctx)

    @guarded
    def on_change_dataset(self, ctx):
        for name in ("key", "shown", "cluster", "sample", "loaded", "searched"):
            setattr(ctx.panel.state, name, None)
        self.refresh(ctx)

    @guarded
    def on_pick_run(self, ctx):
        if ctx.params.get("value") == self.model(ctx).key:
            return  # the App also reports the value that a list is drawn with
        state = ctx.panel.state
        state.key = ctx.params.get("value")
        state.loaded = state.cluster = state.shown = state.searched = None
        self.refresh(ctx)

    @guarded
    def on_tab(self, ctx):
        set_new(ctx.panel.state, tab=ctx.params.get("value"))
        self.refresh(ctx)

    @guarded
    def on_tick(self, ctx):
        """Polls the job. Returns whether the page must be drawn anew: a job has begun or ended, or a cut was made in
        another tab of the browser, which has the same state. What this page shows comes with its clock."""
        from ..elfs_plugin import runs
        from ..elfs_plugin.runs.jobs import running_jobs

        state, drawn = ctx.panel.state, ctx.params.get("drawn") or {}
        if ctx.dataset is None or (state.key and is_telling(ctx.dataset, state.key)):
            return False
        if drawn.get("refused") is not None:
            model = self.model(ctx)
            if model.running:
                _set_progress(ctx, model.job)
            return self.rows_changed(model, drawn)
        self.tell_rows_ended(ctx)
        job = runs.read_job(ctx.dataset, state.key) if state.key else None
        running = bool(job and job["state"] == "running")
        if running and drawn.get("running") and job["started"] == drawn.get("job"):
            _set_progress(ctx, job)
            return False
        if state.live is None and state.hard is not None and state.tab in (None, FIRST):
            state.live = False  # the sliders as well, which a page with the component does not show
            return True
        # A short job may begin and end between two ticks: its start time tells it from the last one seen.
        if running or drawn.get("running") or bool(job and job["started"] != drawn.get("job")):
            return True
        return drawn.get("cut") != [state.hard, state.budget] or bool(running_jobs(ctx.dataset))

    @guarded
    def on_job_changed(self, ctx):
        """A job began, or the one that was shown ended."""
        from ..elfs_plugin import runs
        from ..elfs_plugin.runs.jobs import running_jobs

        state, model = ctx.panel.state, self.model(ctx)
        is_refused = model.phase == "refused"
        job = model.job if is_refused else runs.read_job(ctx.dataset, state.key) if state.key else None
        if job and job["state"] != "running" and job["started"] != state.seen:
            self._job_ended(ctx, job)
        elif is_refused:
            pass  # it has no runs to choose from
        elif not job or job["state"] != "running":
            set_new(state, key=next(iter(running_jobs(ctx.dataset)), state.key))
        self.refresh(ctx)

    def _job_ended(self, ctx, job):
        ctx.dataset.reload()
        if was_told(ctx.dataset, ctx.panel.state.key, job):
            return
        if job["state"] != "completed":
            ctx.ops.notify(job["message"], variant="warning" if job["state"] == "cancelled" else "error")
            ctx.ops.reload_dataset()
            return
        for tab in TABS.values():
            if follow := tab.after.get(job.get("kind")):
                follow(self, ctx)
        if job["message"]:
            ctx.ops.notify(f"{job['operation']}: done. {job['message']}", variant="warning")
        else:
            ctx.ops.notify(f"{job['operation']}: done", variant="success")
        ctx.ops.reload_dataset()

    @guarded
    def on_cancel(self, ctx):
        from ..elfs_plugin import runs

        job = self.model(ctx).job
        if job and runs.request_cancel(ctx.dataset, job["key"]):
            ctx.ops.notify("Cancelling; it stops at its next step.", variant="info")

    @guarded
    def on_run(self, ctx):
        self.prompt(ctx, "run_elfs")

    @guarded
    def on_delete(self, ctx):
        self.prompt(ctx, "delete_run")

    @guarded
    def on_next_step(self, ctx):
        """The button of a finding: opens the operator that mends it, or does it where there is nothing to ask."""
        operator = ctx.params["operator"]
        if operator not in AT_ONCE:
            self.prompt(ctx, operator)
            return
        key = ctx.params["key"] = ctx.panel.state.key
        with telling(ctx.dataset, key):
            foo.get_operator(f"{PLUGIN}/{operator}").run(ctx, ctx.dataset, [])
        ctx.panel.state.loaded = None
        self.refresh(ctx)
        ctx.ops.reload_dataset()
        ctx.ops.notify(f"{ctx.params.get('label') or operator}: done", variant="success")

    # State

    def refresh(self, ctx):
        """Reads the run into the panel's state and data."""
        ctx._elfs_model = None
        model = self.model(ctx)
        state = ctx.panel.state
        if model.lost:
            ctx.ops.notify(f"The run '{model.lost}' has been deleted.", variant="info")
        if state.key != model.key:
            state.key, state.loaded = model.key, None
        # Only what is new: the browser hands all of a state that was changed to its other tabs, and two of them that
        # answered each other with what they had would take turns for ever.
        set_new(state, running=model.running)
        if model.job and not model.running:
            set_new(state, seen=model.job["started"])
        if model.running:
            _set_progress(ctx, model.job)
        if model.phase == "ready":
            self.load_cuts(ctx, model)
            if load := self._open_tab(ctx).load:
                load(self, ctx, model)

    def _open_tab(self, ctx):
        return TABS.get(ctx.panel.state.tab, TABS[FIRST])

    # Layout

    def render(self, ctx):
        panel = types.Object()
        try:
            self._render(panel, ctx)
        except Exception as error:  # whatever it is, the panel must stay a panel
            panel = types.Object()
            alert = types.AlertView(severity="error", label="This cannot be shown", description=sentence(ctx, error))
            panel.view("failed", alert)
        self._add_clock(panel, ctx, "failed" not in panel.properties)
        # Without it the widest part keeps the panel from getting narrower, and its right side is cut off.
        shrinking = {"grid": {"sx": {"& > div": {"minWidth": 0}, **ONE_OF_TWO}}}
        view = types.GridView(orientation="vertical", columns=1, gap=1, pad=2, componentsProps=shrinking)
        return types.Property(panel, view=view)

    def _add_clock(self, panel, ctx, is_drawn):
        """The timer of this page, with what the page shows."""
        state = ctx.panel.state
        model = getattr(ctx, "_elfs_model", None)
        job = model.job if model else None
        running = bool(model and model.running)
        drawn = {"running": running, "job": job["started"] if job else None, "cut": [state.hard, state.budget]}
        if model and model.phase == "refused":
            drawn["refused"] = model.message
        params = {"drawn": drawn}
        if is_drawn and model and model.phase == "ready":
            params["stamp"] = self.stamp(ctx, model)
        # The browser takes new parameters only with a new name.
        name = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:8]
        soon = running or time.time() - (state.expected or 0) < EXPECTED
        timer = types.TimerView(interval=WHILE_RUNNING if soon else IDLE, on_interval=self.on_tick, params=params)
        panel.view(f"timer_{name}", timer)

    def _render(self, panel, ctx):
        model = self.model(ctx)
        if model.phase == "ready" and (ctx.panel.state.n != model.n or ctx.panel.state.hard is None):
            self.load_cuts(ctx, model)  # written anew since the state was set
        if ctx.current_sample and model.phase == "ready":
            self.render_card(panel, ctx, model)
        if model.phase == "refused":
            self.render_refused(panel, model)
        elif model.phase == "no_runs":
            self._render_empty(panel, model)
        else:
            self._render_run(panel, ctx, model)

    def _render_empty(self, panel, model):
        many = model.noun.many
        text = f"Choose which {many} to label, without labels. It takes minutes and changes nothing but its own field."
        panel.view("empty", types.AlertView(severity="info", label="No ELFS run on this dataset yet", description=text))
        panel.btn(
            "run", label=f"Select {many} to label …", icon="play_arrow", variant="contained", on_click=self.on_run
        )

    def _render_run(self, panel, ctx, model):
        head = wrapping(panel, "head")
        choice(head, "key", model.keys, default=model.key, label="Run", on_change=self.on_pick_run)
        head.btn("delete", label="Delete run …", icon="delete", variant="outlined", on_click=self.on_delete)
        if model.running:
            self.render_job(panel)
        elif model.job and model.job["state"] in ("failed", "cancelled", "interrupted"):
            alert = types.AlertView(
                severity="warning", label="The last job did not finish", description=model.job["message"]
            )
            panel.view("message", alert)
        self._render_findings(panel, model)
        if not model.running:
            self._render_unfinished(panel, model)
        if model.phase == "ready":
            tab = self._open_tab(ctx)
            labels = {name: other.label for name, other in TABS.items()}
            choice(panel, "tab", labels, view=_scrollable, default=tab.name, on_change=self.on_tab)
            tab.render(self, panel, ctx, model)

    def render_job(self, panel):
        """The job that is running, and the button that cancels it."""
        panel.str("stage", label="Now", view=types.LabelValueView(label="Now", read_only=True))
        panel.obj("progress", view=types.ProgressView(label="", variant="linear"))
        panel.btn("cancel", label="Cancel", icon="stop", variant="outlined", on_click=self.on_cancel)

    def _render_unfinished(self, panel, model):
        """A run that has not come to scores yet: what it has, and the next step."""
        steps = {
            "no_pseudo_labels": ("no pseudo-labels", "compute_pseudo_labels", "Compute pseudo-labels …"),
            "no_scores": ("pseudo-labels, but no scores", "compute_scores", "Compute scores …"),
        }
        if model.phase not in steps:
            return
        has, operator, label = steps[model.phase]
        panel.view("todo", types.AlertView(severity="info", label=f"This run has {has} yet"))
        row = wrapping(panel, "todo_steps")
        row.btn(
            "todo_next", label=label, variant="contained", on_click=self.on_next_step, params={"operator": operator}
        )
        row.btn("todo_all", label="Run all of ELFS …", variant="outlined", on_click=self.on_run)

    def _render_findings(self, panel, model):
        """What is wrong with the run, each with what to do about it."""
        for index, finding in enumerate(model.findings):
            alert = types.AlertView(severity="warning", label=finding.text)
            panel.view(f"finding_{index}", alert)
            if finding.operator:
                panel.btn(
                    f"mend_{index}",
                    label=finding.label,
                    variant="contained",
                    on_click=self.on_next_step,
                    disabled=model.running,
                    params={"operator": finding.operator, "label": finding.label},
                )


def _scrollable():
    return types.TabsView(variant="scrollable")


def _set_progress(ctx, job):
    # The bar takes nothing but a number from 0 to 1.
    ctx.panel.set_data("progress", float(job.get("overall") or 0.0))
    ctx.panel.set_data("stage", progress_text(job))
