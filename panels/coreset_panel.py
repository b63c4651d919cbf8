"""The ELFS Coreset panel: follow a run, tune β and the budget, look at each zone, compare, decide.

Small values live in the panel's state (sent with every request), figures in its data. Callbacks may arrive twice and
must be cheap; none of them may raise, or the App replaces the panel by a traceback.
"""

import time
from pathlib import Path

import fiftyone.operators as foo
import fiftyone.operators.types as types

from .audit import Audit
from .base import guarded, logger, one_message, set_new, wrapping
from .budget import Budget
from .card import Card
from .clusters import Clusters
from .compare import Compare
from .model import Model
from .tune import Tune

TABS = {"tune": "Tune", "clusters": "Clusters", "compare": "Compare", "budget": "Budget", "audit": "Audit"}
HELP = """
**ELFS Coreset** chooses images to label, without labels.

* **too hard**: the β hardest images by AUM, often mislabelled by the clustering or broken
* **coreset**: the budget, what to label
* **too easy**: the rest, learnt from the others

**Tune** β and the budget on the histogram and look at the pictures of each end. **Clusters** says whether the
pseudo-labels can be trusted. **Compare** sets coresets side by side. **Budget** asks how many labels are enough.
**Audit** is the only place that reads true labels, and nothing from it flows back.

AUM, the area under the margin: how clearly a small network preferred an image's pseudo-label while it learnt. Low is
hard.
"""
COMPONENT = Path(__file__).resolve().parents[1] / "js" / "elfs.js"
WAIT_FOR_COMPONENT = 4000
"""Milliseconds; a browser that has not shown the live histogram after twice as long gets sliders."""
WHILE_RUNNING = 1000
IDLE = 5000
"""Milliseconds between two looks at the job."""


class CoresetPanel(Tune, Card, Clusters, Compare, Budget, Audit, foo.Panel):
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
            method = ctx.params.get("__method__")
            if method == "on_tick":
                if not self.on_tick(ctx):
                    return None
                ctx.params["__method__"] = "on_job_changed"
            elif method == "on_change_selected" and not self.selects_another(ctx):
                return None
            return super().execute(ctx)

    # Events

    @guarded
    def on_load(self, ctx):
        # Unknown until the component says that it is there.
        ctx.panel.state.live = None if COMPONENT.is_file() else False
        ctx.panel.state.waiting = None
        self.refresh(ctx)

    @guarded
    def on_change_dataset(self, ctx):
        for name in ("key", "shown", "cluster", "sample", "loaded"):
            setattr(ctx.panel.state, name, None)
        self.refresh(ctx)

    @guarded
    def on_pick_run(self, ctx):
        if ctx.params.get("value") == self.model(ctx).key:
            return  # the App also reports the value that a list is drawn with
        state = ctx.panel.state
        state.key = ctx.params.get("value")
        state.loaded = state.cluster = state.shown = None
        self.refresh(ctx)

    @guarded
    def on_tab(self, ctx):
        set_new(ctx.panel.state, tab=ctx.params.get("value"))
        self.refresh(ctx)

    @guarded
    def on_tick(self, ctx):
        """Polls the job. Returns whether the panel must be drawn anew: a job has begun or ended."""
        from ..elfs_plugin import runs
        from ..elfs_plugin.runs.jobs import running_jobs

        state = ctx.panel.state
        if ctx.dataset is None:
            return False
        if self._is_waiting(state):
            # A job at work in this process can hold up the component's word for many seconds.
            since = state.waiting if state.waiting and not state.running else time.time()
            if time.time() - since >= 0.9 * WAIT_FOR_COMPONENT / 1000:
                state.live = False  # the browser could not load the live histogram
                return True
            state.waiting = since
        job = runs.read_job(ctx.dataset, state.key) if state.key else None
        if state.running and job and job["state"] == "running":
            _set_progress(ctx, job)
            return False
        # A short job may begin and end between two ticks: its start time tells it from the last one seen.
        return bool(job and job["started"] != state.seen) or bool(running_jobs(ctx.dataset))

    def _is_waiting(self, state):
        """Whether the live histogram is drawn and has not said yet that it is there."""
        return state.live is None and state.hard is not None and (state.tab or "tune") == "tune"

    @guarded
    def on_job_changed(self, ctx):
        """A job began, or the one that was shown ended."""
        from ..elfs_plugin import runs
        from ..elfs_plugin.runs.jobs import running_jobs

        state = ctx.panel.state
        job = runs.read_job(ctx.dataset, state.key) if state.key else None
        if job and job["state"] != "running" and job["started"] != state.seen:
            self._job_ended(ctx, job)
        elif not state.running:
            state.key = next(iter(running_jobs(ctx.dataset)), state.key)
        self.refresh(ctx)

    def _job_ended(self, ctx, job):
        ctx.dataset.reload()
        if job["state"] != "completed":
            ctx.ops.notify(job["message"], variant="warning" if job["state"] == "cancelled" else "error")
            ctx.ops.reload_dataset()
            return
        if job["operation"] == "Searching β":
            self._take_beta(ctx)
        if job["operation"] == "Embedding plot":
            self.open_plot(ctx, self.model(ctx).record)
        if job["message"]:
            ctx.ops.notify(f"{job['operation']}: done. {job['message']}", variant="warning")
        else:
            ctx.ops.notify(f"{job['operation']}: done", variant="success")
        ctx.ops.reload_dataset()

    def _take_beta(self, ctx):
        from ..elfs_plugin import runs

        state = ctx.panel.state
        curve = runs.load_results(ctx.dataset, state.key).get("beta")
        if curve and state.n:
            state.chosen_beta = curve["chosen"]
            self.take_cut(ctx, int(curve["chosen"] * state.n + 1e-9), state.budget)

    @guarded
    def on_cancel(self, ctx):
        from ..elfs_plugin import runs

        if runs.request_cancel(ctx.dataset, ctx.panel.state.key):
            ctx.ops.notify("Cancelling; it stops at its next step.", variant="info")

    @guarded
    def on_run(self, ctx):
        self.prompt(ctx, "run_elfs")

    @guarded
    def on_delete(self, ctx):
        self.prompt(ctx, "delete_run")

    @guarded
    def on_next_step(self, ctx):
        """The button of a finding: opens the operator that mends it."""
        self.prompt(ctx, ctx.params["operator"])

    @guarded
    def on_operator_done(self, ctx):
        ctx.panel.state.loaded = None
        self.refresh(ctx)

    # State

    def model(self, ctx):
        """The dataset's run as it is now, read once for an event."""
        found = getattr(ctx, "_elfs_model", None)
        if found is None or found.key != ctx.panel.state.key:
            found = ctx._elfs_model = Model(ctx)
        return found

    def refresh(self, ctx):
        """Reads the run into the panel's state and data."""
        ctx._elfs_model = None
        model = self.model(ctx)
        state = ctx.panel.state
        if model.lost:
            ctx.ops.notify(f"The run '{model.lost}' has been deleted.", variant="info")
        if state.key != model.key:
            state.key, state.loaded = model.key, None
        state.running = model.running
        if model.job and not model.running:
            state.seen = model.job["started"]
        if model.running:
            _set_progress(ctx, model.job)
        if model.phase == "ready":
            if (state.tab or "tune") == "tune" or state.loaded != model.stamp:
                self.load_tune(ctx, model)
            if state.tab == "compare":
                self.load_compare(ctx, model)

    # Layout

    def render(self, ctx):
        panel = types.Object()
        try:
            self._render(panel, ctx)
        except Exception as error:  # whatever it is, the panel must stay a panel
            from ..elfs_plugin.errors import explain

            logger.exception("coreset panel")
            panel = types.Object()
            said = explain(error, resumes=False)
            panel.view("failed", types.AlertView(severity="error", label="This cannot be shown", description=said))
        state = ctx.panel.state
        interval = WHILE_RUNNING if state.running else WAIT_FOR_COMPONENT if self._is_waiting(state) else IDLE
        panel.view("timer", types.TimerView(interval=interval, on_interval=self.on_tick))
        # Without it the widest part keeps the panel from getting narrower, and its right side is cut off.
        shrinking = {"grid": {"sx": {"& > div": {"minWidth": 0}}}}
        view = types.GridView(orientation="vertical", columns=1, gap=1, pad=2, componentsProps=shrinking)
        return types.Property(panel, view=view)

    def _render(self, panel, ctx):
        model = self.model(ctx)
        if ctx.current_sample and model.phase == "ready":
            self.render_card(panel, ctx, model)
        if model.phase == "refused":
            panel.view(
                "refused",
                types.AlertView(severity="warning", label="ELFS cannot work on this", description=model.message),
            )
        elif model.phase == "no_runs":
            self._render_empty(panel)
        else:
            self._render_run(panel, ctx, model)

    def _render_empty(self, panel):
        text = "Choose which images to label, without labels. It takes minutes and changes nothing but its own field."
        panel.view("empty", types.AlertView(severity="info", label="No ELFS run on this dataset yet", description=text))
        panel.btn("run", label="Select images to label …", icon="play_arrow", variant="contained", on_click=self.on_run)

    def _render_run(self, panel, ctx, model):
        head = wrapping(panel, "head")
        keys = types.DropdownView()
        for key in model.keys:
            keys.add_choice(key, label=key)
        head.enum("key", keys.values(), default=model.key, label="Run", view=keys, on_change=self.on_pick_run)
        head.btn("delete", label="Delete run …", icon="delete", variant="outlined", on_click=self.on_delete)
        if model.running:
            panel.str("stage", label="Now", view=types.LabelValueView(label="Now", read_only=True))
            panel.obj("progress", view=types.ProgressView(label="", variant="linear"))
            panel.btn("cancel", label="Cancel", icon="stop", variant="outlined", on_click=self.on_cancel)
        elif model.job and model.job["state"] in ("failed", "cancelled", "interrupted"):
            alert = types.AlertView(severity="warning", label="The last job did not finish",
                                    description=model.job["message"])  # fmt: skip
            panel.view("message", alert)
        self._render_findings(panel, model)
        if not model.running:
            self._render_unfinished(panel, model)
        if model.phase == "ready":
            tabs = types.TabsView(variant="scrollable")
            for name, label in TABS.items():
                tabs.add_choice(name, label=label)
            tab = ctx.panel.state.tab or "tune"
            panel.enum("tab", tabs.values(), default=tab, view=tabs, on_change=self.on_tab)
            getattr(self, f"render_{tab}")(panel, ctx, model)

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
        row.btn("todo_next", label=label, variant="contained", on_click=self.on_next_step,
                params={"operator": operator})  # fmt: skip
        row.btn("todo_all", label="Run all of ELFS …", variant="outlined", on_click=self.on_run)

    def _render_findings(self, panel, model):
        """What is wrong with the run, each with what to do about it."""
        for index, finding in enumerate(model.findings):
            alert = types.AlertView(severity="warning", label=finding.text)
            panel.view(f"finding_{index}", alert)
            if finding.operator:
                panel.btn(f"mend_{index}", label=finding.label, variant="contained", on_click=self.on_next_step,
                          params={"operator": finding.operator})  # fmt: skip


def _set_progress(ctx, job):
    overall = job.get("overall", 0.0)
    ctx.panel.set_data("stage", f"{overall:.0%} · {job.get('label', job['operation'])}")
    ctx.panel.set_data("progress", {"progress": overall, "label": job.get("label", job["operation"])})
