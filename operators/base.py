"""What the operators share: validation in the form, three ways to run, errors as sentences.

An operator runs in one of three ways, with the same result:

* from Python and delegated, it runs to its end and returns its summary;
* from the App with ``progress="panel"`` it runs in a thread; the panel shows the bar and can cancel;
* from the App with ``progress="dialog"`` the App shows its modal bar.
"""

import contextlib
import logging
import queue
import threading

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

logger = logging.getLogger(__name__)

PLUGIN = "@elfs/coreset"
DELEGATE_ABOVE = 10_000
"""Forms offer delegated execution first above this many samples, where the App has an orchestrator."""


class ElfsOperator(foo.Operator):
    """Base class. Subclasses set the class attributes and implement ``form`` and ``run``."""

    operator = ""
    title = ""
    description = ""
    long = True
    uses_view = True
    risk = "MEDIUM"

    @property
    def config(self):
        options = dict(
            name=self.operator,
            label=f"ELFS: {self.title}",
            description=self.description,
            dynamic=True,
            icon="/assets/elfs.svg",
            light_icon="/assets/elfs-light.svg",
            dark_icon="/assets/elfs-dark.svg",
            execute_as_generator=self.long,
            allow_immediate_execution=True,
            allow_delegated_execution=self.long,
        )
        risk_levels = getattr(types, "RiskLevel", None)
        if risk_levels is not None:
            options["risk_level"] = getattr(risk_levels, self.risk)
        return foo.OperatorConfig(**options)

    def __call__(self, dataset_or_view, request_delegation=False, **params):
        """Runs the operator from Python and returns its summary (a dict), or the queued operation when delegated.

        Raises:
            fiftyone.operators.executor.ExecutionError: with the message for the user
        """
        ctx = {
            "dataset" if isinstance(dataset_or_view, fo.Dataset) else "view": dataset_or_view,
            "params": params,
            "request_delegation": request_delegation,
        }
        result = foo.execute_operator(self.uri, ctx)
        return getattr(result, "result", result)

    def resolve_input(self, ctx):
        from ..elfs_plugin.errors import ElfsError

        inputs = types.Object()
        try:
            collection = self.collection(ctx)
            from ..elfs_plugin.runs import check_collection

            if self.uses_view or collection is None:
                check_collection(collection)
        except Exception as error:  # a form must say what is wrong, never fail
            if not isinstance(error, ElfsError):
                logger.exception("the form of %s", self.uri)
            return types.Property(_refused(inputs, _message(error)), view=types.View(label=f"ELFS: {self.title}"))
        self.form(ctx, inputs, collection)
        if self.long and not ctx.delegated:
            add_progress_choice(inputs)
        return types.Property(inputs, view=types.View(label=f"ELFS: {self.title}"))

    def collection(self, ctx):
        if ctx.dataset is None:
            return None
        return ctx.target_view() if self.uses_view else ctx.dataset

    def execute(self, ctx):
        mode = ctx.params.get("progress")
        if ctx.delegated or not self.long or mode not in ("panel", "dialog"):
            return self._run_here(ctx)
        return self._run_in_panel(ctx) if mode == "panel" else self._run_in_dialog(ctx)

    def _run_here(self, ctx):
        from ..elfs_plugin.errors import ElfsError, explain

        sinks = []
        if ctx.delegated:
            sinks.append(lambda event: ctx.set_progress(progress=event.overall, label=event.label))
        elif ctx.params.get("progress") == "terminal":
            from ..elfs_plugin.progress import TerminalBar

            sinks.append(TerminalBar())
        try:
            summary = self.run(ctx, self.collection(ctx), sinks)
        except Exception as error:  # logged, shown as a sentence, and raised again
            message = explain(error, resumes=self.long)
            if not isinstance(error, ElfsError):
                logger.exception("%s failed", self.uri)
            with contextlib.suppress(Exception):
                ctx.ops.notify(message, variant="error")
            raise ElfsError(message) from None
        if self.long:
            ctx.ops.reload_dataset()
        self.after(ctx, summary)
        return summary

    def after(self, ctx, summary):
        """What a short operator shows in the App when it is done."""

    def _start(self, ctx):
        """Runs in a thread; returns the queue on which progress events and finally the outcome arrive."""
        from ..elfs_plugin.errors import explain

        collection = self.collection(ctx)
        events = queue.SimpleQueue()

        def work():
            try:
                events.put(self.run(ctx, collection, [events.put]))
            except BaseException as error:
                logger.info("%s ended: %s", self.uri, error)
                events.put(_Failed(explain(error, resumes=self.long)))

        threading.Thread(target=work, name=self.operator, daemon=True).start()
        return events

    def _run_in_panel(self, ctx):
        events = self._start(ctx)
        first = events.get()  # the job has the lock and reports, or it was refused at once
        if isinstance(first, _Failed):
            yield ctx.ops.notify(first.message, variant="error")
            return
        yield ctx.ops.open_panel("coreset_panel", layout="horizontal", is_active=True)
        yield ctx.ops.notify(f"{self.title}: running. The ELFS Coreset panel shows the progress.", variant="info")

    def _run_in_dialog(self, ctx):
        from ..elfs_plugin.progress import Event

        events = self._start(ctx)
        outcome = events.get()
        while isinstance(outcome, Event):
            yield ctx.ops.set_progress(progress=outcome.overall, label=outcome.label)
            outcome = events.get()
        if isinstance(outcome, _Failed):
            yield ctx.ops.set_progress(progress=1.0, label=outcome.message)
            yield ctx.ops.notify(outcome.message, variant="error")
            return
        yield ctx.ops.set_progress(progress=1.0, label="Done")
        yield ctx.ops.reload_dataset()
        yield ctx.ops.notify(f"{self.title}: done.", variant="success")

    def form(self, ctx, inputs, collection):
        """Adds the inputs, with their validation."""
        raise TypeError(f"{type(self).__name__} does not implement form()")

    def run(self, ctx, collection, sinks):
        """Does the work and returns a summary."""
        raise TypeError(f"{type(self).__name__} does not implement run()")


class _Failed:
    def __init__(self, message):
        self.message = message


def _message(error):
    from ..elfs_plugin.errors import explain

    return explain(error, resumes=False)


def _refused(inputs, message):
    refused = inputs.str("refused", label="", view=types.Error(label=message))
    refused.invalid = True
    refused.error_message = message
    return inputs


def check(prop, function, *args):
    """Marks a property invalid with the message of the :class:`ElfsError` that ``function`` raises. Returns success."""
    from ..elfs_plugin.errors import ElfsError

    try:
        function(*args)
        return True
    except ElfsError as error:
        prop.invalid = True
        prop.error_message = str(error)
        return False


def add_progress_choice(inputs):
    choices = types.RadioGroup()
    choices.add_choice("panel", label="In the ELFS panel: the App stays usable, and the job can be cancelled")
    choices.add_choice("dialog", label="In a dialog over the App")
    inputs.enum("progress", choices.values() + ["terminal"], default="panel", required=False, label="Show progress",
                view=choices)  # fmt: skip
