"""The ELFS Coreset panel: follow a run, tune β and the budget, look at each zone, save the coreset.

Small values live in the panel's state (sent with every request), figures in its data. Callbacks may arrive twice and
must be cheap; none of them may raise, or the App replaces the panel by a traceback.
"""

import functools
import logging

import fiftyone.operators as foo
import fiftyone.operators.types as types

from .plots import curve_figure, histogram_figure

logger = logging.getLogger(__name__)

PLUGIN = "@elfs/coreset"
DEFAULT_BUDGET = 10.0
DEFAULT_BETA = 20.0
METRICS = {"scored": "scored", "failed": "failed", "hard": "too hard", "coreset": "coreset", "easy": "too easy"}
HELP = """
**ELFS Coreset** chooses images to label, without labels.

* **too hard**: the β hardest images by AUM, often mislabelled by the clustering or broken
* **coreset**: the budget, what to label
* **too easy**: the rest, learnt from the others

*Find β* trains small proxies on pseudo-labels for several β and marks the best. *Save* tags the coreset.
"""


def guarded(callback):
    """Turns an error into a notification."""

    @functools.wraps(callback)
    def wrapper(self, ctx):
        try:
            return callback(self, ctx)
        except Exception as error:  # logged and shown; raising would replace the panel by a traceback
            from ..elfs_plugin.errors import ElfsError, explain

            if not isinstance(error, ElfsError):
                logger.exception("coreset panel")
            ctx.ops.notify(explain(error), variant="error")

    return wrapper


class CoresetPanel(foo.Panel):
    @property
    def config(self):
        return foo.PanelConfig(
            name="coreset_panel",
            label="ELFS Coreset",
            icon="content_cut",
            category=foo.Categories.CURATE,
            help_markdown=HELP,
            allow_multiple=False,
        )

    def execute(self, ctx):
        # FiftyOne renders after every event. A tick that found nothing new must not: its state may be older than what
        # the user has just set, and would be drawn over it.
        if ctx.params.get("__method__") == "on_tick":
            if not self.on_tick(ctx):
                return None
            ctx.params["__method__"] = "on_job_changed"
        return super().execute(ctx)

    # Events

    @guarded
    def on_load(self, ctx):
        self._refresh(ctx)

    @guarded
    def on_change_dataset(self, ctx):
        ctx.panel.state.key = None
        ctx.panel.state.shown = None
        self._refresh(ctx)

    @guarded
    def on_pick_run(self, ctx):
        ctx.panel.state.key = ctx.params.get("value")
        ctx.panel.state.loaded = None
        self._refresh(ctx)

    @guarded
    def on_tick(self, ctx):
        """Polls the job. Returns whether the panel must be drawn anew: a job has begun or ended."""
        from ..elfs_plugin import runs
        from ..elfs_plugin.runs.jobs import running_jobs

        state = ctx.panel.state
        if ctx.dataset is None:
            return False
        job = runs.read_job(ctx.dataset, state.key) if state.key else None
        if state.running and job and job["state"] == "running":
            _set_progress(ctx, job)
            return False
        # A short job may begin and end between two ticks: its start time tells it from the last one seen.
        return bool(job and job["started"] != state.seen) or bool(running_jobs(ctx.dataset))

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
        self._refresh(ctx)
        if state.shown:
            self._show(ctx, state.shown)

    def _job_ended(self, ctx, job):
        ctx.dataset.reload()
        if job["state"] != "completed":
            ctx.ops.notify(job["message"], variant="warning" if job["state"] == "cancelled" else "error")
        elif job["operation"] == "Searching β":
            self._take_beta(ctx)
        else:
            ctx.panel.state.loaded = None
        if job["state"] == "completed":
            ctx.ops.notify(f"{job['operation']}: done", variant="success")
        ctx.ops.reload_dataset()

    def _take_beta(self, ctx):
        from ..elfs_plugin import runs

        curve = runs.load_results(ctx.dataset, ctx.panel.state.key).get("beta")
        if curve:
            ctx.panel.state.beta = 100 * curve["chosen"]

    @guarded
    def on_slide(self, ctx):
        self._apply(ctx)

    @guarded
    def on_images(self, ctx):
        """An exact number of images, typed."""
        state = ctx.panel.state
        images = ctx.params.get("value")
        if isinstance(images, (int, float)) and images == images and int(images) != state.coreset:
            state.budget = 100 * min(max(int(images), 1), state.n) / state.n
            self._apply(ctx)

    @guarded
    def on_curve_click(self, ctx):
        if ctx.params.get("x") is not None:
            ctx.panel.state.beta = round(float(ctx.params["x"]) * 100, 2)
            self._apply(ctx)

    @guarded
    def on_show_hard(self, ctx):
        self._show(ctx, "hard")

    @guarded
    def on_show_coreset(self, ctx):
        self._show(ctx, "coreset")

    @guarded
    def on_show_easy(self, ctx):
        self._show(ctx, "easy")

    @guarded
    def on_show_all(self, ctx):
        ctx.panel.state.shown = None
        ctx.ops.set_view(view=ctx.dataset.view())

    @guarded
    def on_find_beta(self, ctx):
        from ..elfs_plugin.errors import InvalidInput

        state = ctx.panel.state
        if state.running:
            raise InvalidInput("A job is running on this dataset. Wait for it, or cancel it.")
        params = {"key": state.key, "budget": state.budget, "budget_unit": "percent", "progress": "panel"}
        ctx.ops.notify("Searching β …", variant="info")
        ctx.trigger(f"{PLUGIN}/search_beta", params=params)

    @guarded
    def on_save(self, ctx):
        """Applies the selection: zones, tag and saved view."""
        from ..elfs_plugin import runs

        state = ctx.panel.state
        tag = (state.tag or "").strip() or _default_tag(state.key)
        beta, budget = state.beta / 100, int(state.coreset)
        runs.select_coreset(ctx.dataset, state.key, budget=budget, beta=beta, tag=tag, view_name=tag)
        self._refresh(ctx)
        ctx.ops.reload_dataset()
        ctx.ops.notify(f"{budget:,} images tagged '{tag}' and saved as the view '{tag}'", variant="success")

    @guarded
    def on_cancel(self, ctx):
        from ..elfs_plugin import runs

        if runs.request_cancel(ctx.dataset, ctx.panel.state.key):
            ctx.ops.notify("Cancelling; it stops at its next step.", variant="info")

    @guarded
    def on_run(self, ctx):
        self._prompt(ctx, "run_elfs")

    @guarded
    def on_scores(self, ctx):
        self._prompt(ctx, "compute_scores")

    @guarded
    def on_pseudo_labels(self, ctx):
        self._prompt(ctx, "compute_pseudo_labels")

    @guarded
    def on_export(self, ctx):
        self._prompt(ctx, "export_coreset")

    @guarded
    def on_delete(self, ctx):
        self._prompt(ctx, "delete_run")

    @guarded
    def on_operator_done(self, ctx):
        ctx.panel.state.loaded = None
        self._refresh(ctx)

    def _prompt(self, ctx, operator):
        params = {"key": ctx.panel.state.key} if ctx.panel.state.key else {}
        ctx.prompt(f"{PLUGIN}/{operator}", params=params, on_success=self.on_operator_done)

    # State

    def _refresh(self, ctx):
        """Reads the run into the panel's state and data."""
        from ..elfs_plugin import runs
        from ..elfs_plugin.errors import ElfsError
        from ..elfs_plugin.runs.jobs import running_jobs

        state = ctx.panel.state
        state.running = False
        try:
            runs.check_collection(ctx.dataset)
        except ElfsError as error:
            state.phase, state.message = "refused", str(error)
            return
        busy = running_jobs(ctx.dataset)
        keys = sorted(set(runs.list_runs(ctx.dataset)) | set(busy))
        state.keys = keys
        if state.key not in keys:
            state.key = busy[0] if busy else (keys[-1] if keys else None)
            state.loaded = None
        if state.key is None:
            state.phase = "no_runs"
            return
        job = runs.read_job(ctx.dataset, state.key)
        state.running = bool(job and job["state"] == "running")
        if job and not state.running:
            state.seen = job["started"]
        state.message = job["message"] if job and job["state"] in ("failed", "cancelled", "interrupted") else ""
        if state.running:
            _set_progress(ctx, job)
        self._read_run(ctx)

    def _read_run(self, ctx):
        from ..elfs_plugin import runs

        state = ctx.panel.state
        record = runs.load_record(ctx.dataset, state.key)
        stages = record.stages if record else {}
        if "scores" not in stages:
            state.phase = "no_scores" if "pseudo_labels" in stages else "no_pseudo_labels"
            return
        results = runs.load_results(ctx.dataset, state.key)
        state.phase = "ready"
        state.n = stages["scores"]["scored"]
        state.failed = record.failed
        state.failures = [f"{reason}" for reason in list(results.get("failures", {}).values())[:3]]
        state.warnings = results.get("clusters", {}).get("warnings", [])
        selection = stages.get("selection")
        # What the sliders were last set from: another run, or a selection that somebody else has applied since.
        version = f"{state.key} {selection and (selection['hard'], selection['coreset'])} {state.n}"
        if state.loaded != version:
            # The sliders start at the applied selection, else at the searched β, else at a usual place.
            state.budget = 100 * selection["coreset"] / state.n if selection else DEFAULT_BUDGET
            chosen = stages.get("beta", {}).get("chosen")
            beta = selection["beta"] if selection else chosen if chosen is not None else DEFAULT_BETA / 100
            state.beta = 100 * beta
            state.tag = record.tags[-1] if record.tags else _default_tag(state.key)
            state.loaded = version
        curve = results.get("beta")
        state.reason = curve["reason"] if curve else ""
        if curve:
            data, layout = curve_figure(curve)
            ctx.panel.set_data("curve", data)
            state.curve_layout = layout
        self._cut(ctx, results)

    def _cut(self, ctx, results):
        """Counts and histogram for the sliders' values; moves β when it no longer fits beside the budget."""
        from ..elfs_plugin.pruning import resolve_beta, resolve_budget

        state = ctx.panel.state
        n = state.n
        budget = resolve_budget(min(max(float(state.budget), 100 / n), 100.0) / 100, n)
        limit = 1 - budget / n
        beta = min(max(float(state.beta) / 100, 0.0), limit)
        if abs(beta * 100 - float(state.beta)) > 1e-6:
            state.beta = beta * 100
        hard = resolve_beta(beta, budget, n)
        state.hard, state.coreset, state.easy, state.images = hard, budget, n - hard - budget, budget
        state.metrics = {
            "scored": f"{n:,}",
            "failed": f"{state.failed:,}",
            "hard": f"{hard:,}",
            "coreset": f"{budget:,}",
            "easy": f"{n - hard - budget:,}",
        }
        if results.get("histogram"):
            data, layout = histogram_figure(results["histogram"], hard, budget)
            ctx.panel.set_data("histogram", data)
            state.histogram_layout = layout

    def _apply(self, ctx):
        """Follows the sliders: counts, histogram, and the grid when it shows a zone. Idempotent."""
        from ..elfs_plugin import runs

        state = ctx.panel.state
        self._cut(ctx, runs.load_results(ctx.dataset, state.key))
        if state.shown:
            self._show(ctx, state.shown)

    def _show(self, ctx, zone):
        from ..elfs_plugin.runs.stages import rank_view

        state = ctx.panel.state
        low = {"hard": 0, "coreset": state.hard, "easy": state.hard + state.coreset}[zone]
        high = {"hard": state.hard, "coreset": state.hard + state.coreset, "easy": state.n}[zone]
        state.shown = zone
        ctx.ops.set_view(view=rank_view(ctx.dataset, state.key, low, high))

    # Layout

    def render(self, ctx):
        panel = types.Object()
        state = ctx.panel.state
        if state.phase == "refused":
            panel.view(
                "refused",
                types.AlertView(severity="warning", label="ELFS cannot work on this", description=state.message),
            )
        elif state.phase == "no_runs":
            text = (
                "Choose which images to label, without labels. It takes minutes and changes nothing but its own field."
            )
            panel.view(
                "empty", types.AlertView(severity="info", label="No ELFS run on this dataset yet", description=text)
            )
            panel.btn(
                "run", label="Select images to label …", icon="play_arrow", variant="contained", on_click=self.on_run
            )
        elif state.phase:
            self._render_run(panel, state)
        panel.view("timer", types.TimerView(interval=1000 if state.running else 5000, on_interval=self.on_tick))
        return types.Property(panel, view=types.GridView(orientation="vertical", columns=1, gap=1, pad=2))

    def _render_run(self, panel, state):
        runs = types.DropdownView()
        for key in state.keys or []:
            runs.add_choice(key, label=key)
        panel.enum("key", runs.values(), default=state.key, label="Run", view=runs, on_change=self.on_pick_run)
        if state.running:
            panel.str("stage", label="Now", view=types.LabelValueView(label="Now", read_only=True))
            panel.obj("progress", view=types.ProgressView(label="", variant="linear"))
            panel.btn("cancel", label="Cancel", icon="stop", variant="outlined", on_click=self.on_cancel)
        elif state.message:
            panel.view(
                "message",
                types.AlertView(severity="warning", label="The last job did not finish", description=state.message),
            )
        if state.phase == "no_pseudo_labels" and not state.running:
            panel.view("todo", types.AlertView(severity="info", label="This run has no pseudo-labels yet"))
            panel.btn("labels", label="Compute pseudo-labels …", variant="contained", on_click=self.on_pseudo_labels)
            panel.btn("run", label="Run all of ELFS …", variant="outlined", on_click=self.on_run)
        elif state.phase == "no_scores" and not state.running:
            panel.view("todo", types.AlertView(severity="info", label="This run has pseudo-labels but no scores yet"))
            panel.btn("scores", label="Compute scores …", variant="contained", on_click=self.on_scores)
        elif state.phase == "ready":
            self._render_ready(panel, state)

    def _render_ready(self, panel, state):
        # The values live in the state, so that an older answer of the server cannot be drawn over newer numbers.
        metrics = panel.h_stack("metrics", gap=2, align_x="left")
        for name, label in METRICS.items():
            metrics.str(name, label=label, view=types.LabelValueView(label=label, read_only=True))
        if state.failed:
            reasons = "; ".join(state.failures or [])
            panel.view(
                "failed",
                types.AlertView(
                    severity="warning", label=f"{state.failed:,} images were left out", description=reasons
                ),
            )
        for index, text in enumerate(state.warnings or []):
            panel.view(f"warning_{index}", types.AlertView(severity="warning", label=text))
        # The data of a figure lives under its own path; the layout must be in the schema.
        panel.plot("histogram", layout=state.histogram_layout, config={"displayModeBar": False}, height="230px")
        for name, label, low in (("beta", "β, %", 0), ("budget", "Budget, %", 0.1)):
            number = types.Number(min=low, max=100, float=True)
            slider = types.SliderView(min=low, max=100, value_precision=2, label_position="left")
            panel.define_property(
                name, number, default=getattr(state, name), label=label, view=slider, on_change=self.on_slide
            )
        panel.int("images", default=state.images, label="Budget in images", on_change=self.on_images)
        show = panel.h_stack("show", gap=1, align_x="left")
        handlers = {
            "hard": self.on_show_hard,
            "coreset": self.on_show_coreset,
            "easy": self.on_show_easy,
            "all": self.on_show_all,
        }
        for zone, handler in handlers.items():
            variant = "contained" if state.shown == zone else "outlined"
            show.btn(f"show_{zone}", label=f"Show {zone}", variant=variant, on_click=handler)
        save = panel.h_stack("save", gap=1, align_x="left")
        save.btn(
            "find_beta",
            label="Find β",
            icon="search",
            variant="outlined",
            disabled=bool(state.running),
            on_click=self.on_find_beta,
        )
        save.btn(
            "save_coreset",
            label="Save coreset",
            icon="bookmark",
            variant="contained",
            disabled=bool(state.running),
            on_click=self.on_save,
        )
        save.btn("export", label="Export …", icon="download", variant="outlined", on_click=self.on_export)
        save.btn("delete", label="Delete run …", icon="delete", variant="outlined", on_click=self.on_delete)
        panel.str("tag", default=state.tag, label="Save as tag and view")
        if state.reason:
            panel.plot(
                "curve",
                layout=state.curve_layout,
                config={"displayModeBar": False},
                height="220px",
                on_click=self.on_curve_click,
            )
            panel.md(state.reason, name="reason")


def _default_tag(key):
    return f"{key}_coreset"


def _set_progress(ctx, job):
    overall = job.get("overall", 0.0)
    ctx.panel.set_data("stage", f"{overall:.0%} · {job.get('label', job['operation'])}")
    ctx.panel.set_data("progress", {"progress": overall, "label": job.get("label", job["operation"])})
