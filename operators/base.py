"""What the operators share: validation in the form, three ways to run, errors as sentences.

An operator runs in one of four ways, with the same result:

* called from Python, it runs at once, without FiftyOne's executor and its clock, and returns its summary;
* delegated, or by ``foo.execute_operator``, it runs to its end and returns its summary;
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
from fiftyone.operators.executor import ExecutionContext, ExecutionError, Executor, ValidationContext

from . import parameters
from .inputs import check_engine, choices, engine_inputs, engine_of, refuse

logger = logging.getLogger(__name__)

PROGRESS = {
    "panel": "In the ELFS panel: the App stays usable, and the job can be cancelled",
    "dialog": "In a dialog over the App",
}

DELEGATE_ABOVE = 10_000
"""Forms offer delegated execution first above this many samples, where the App has an orchestrator."""


class ElfsOperator(foo.Operator):
    """Base class. Subclasses set the class attributes and implement ``form`` and ``run``."""

    operator = ""
    title = ""
    description = ""
    takes = ()
    """Names of its parameters besides those that all have, see :mod:`.parameters`."""
    long = True
    uses_view = True
    takes_images = True
    """Whether it works on images, or rows in their place; not on what rows are made of."""
    minimum = 1
    """Images that a view must have."""
    risk = "MEDIUM"
    distributes = False
    """Whether some of its work is in pieces that another engine can run, see docs/engine.md."""

    @property
    def parameters(self):
        """The names of its parameters besides those that all have."""
        return (*self.takes, "engine", "address") if self.distributes else self.takes

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

    def __call__(self, dataset_or_view, request_delegation=False, progress=None, **params):
        """Runs the operator from Python and returns its summary (a dict), or the queued operation when delegated.

        It takes as long as it takes: FiftyOne's limit for operators (``operator_timeout``, ten minutes) is for its
        executor, which is asked only to queue.

        Args:
            dataset_or_view: a dataset, a view, or the name of a dataset
            request_delegation: whether to queue it for a worker
            progress: whether to show a bar in the terminal (``"terminal"`` is the same as True); default: FiftyOne's
                setting ``show_progress_bars``
            params: as in the form; without ``key`` the run ``elfs`` is meant

        Raises:
            fiftyone.operators.executor.ExecutionError: with the message for the user
        """
        try:
            target = _target(dataset_or_view)
            if self.takes_images:
                target = _resolved(target, None if self.uses_view else params.get("key", "elfs"))
            request = {"dataset_name": target._root_dataset.name, "view": target.view()._serialize()}
            shows = _shows_progress(progress)
            params, refused = parameters.read(params, self.parameters)
            if refused:
                raise ExecutionError(" ".join(refused.values()))
            request["params"] = {"key": "elfs", **params}
            ctx = ExecutionContext(request, executor=Executor(), operator_uri=self.uri)
            form = self.resolve_input(ctx)
            validation = ValidationContext(ctx, form, self)
            if validation.invalid:
                raise ExecutionError(_first_reason(validation))
            self.check_together(ctx, ctx.params)
            check_engine(ctx.params)
            if request_delegation and self.long:
                return _queue(self.uri, target, ctx.params)
            if shows and self.long:
                ctx.params["progress"] = "terminal"
        except ExecutionError:
            raise
        except Exception as error:  # told as a sentence, whatever it is
            raise ExecutionError(self._explain(error)) from None
        # Outside the block above: it has been logged and told already.
        try:
            return self._run_here(ctx)
        except Exception as error:  # _run_here has logged it and made a sentence of it
            raise ExecutionError(str(error)) from None

    def check_together(self, ctx, params):
        """Raises :class:`InvalidInput` for parameters that contradict each other or would have no effect.

        Only of a call from Python: a form sends what was typed before another choice was made.
        """

    def resolve_input(self, ctx):
        view = types.View(label=f"ELFS: {self.title}")
        try:
            return types.Property(self._inputs(ctx), view=view)
        except Exception as error:  # a form must say what is wrong, never fail
            return types.Property(_refused(types.Object(), self._explain(error)), view=view)

    def _inputs(self, ctx):
        """The form for the parameters so far, which are made plain, see :func:`~.parameters.read`."""
        from ..elfs_plugin.runs import check_collection

        params, refused = parameters.read(ctx.params, self.parameters)
        ctx.params = ctx.request_params["params"] = params
        inputs = types.Object()
        collection = self.collection(ctx)
        if collection is None or (self.takes_images and (self.uses_view or _has_rows_elsewhere(collection))):
            check_collection(collection, minimum=self.minimum)
        self.form(ctx, inputs, collection)
        if self.distributes:
            engine_inputs(ctx, inputs)
        if self.long and not ctx.delegated:
            add_progress_choice(inputs)
        for name, prop in inputs.properties.items():
            if isinstance(prop.type, types.Enum) and name in params and params[name] not in prop.type.values:
                refuse(prop, _not_one_of(name, params[name], prop.type.values))
        for name, message in refused.items():
            if name in inputs.properties:
                refuse(inputs.properties[name], message)
        others = [message for name, message in refused.items() if name not in inputs.properties]
        if others:
            _refused(inputs, " ".join(others))
            inputs.properties = {"refused": inputs.properties.pop("refused"), **inputs.properties}  # on top
        return inputs

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
        from ..elfs_plugin.errors import ElfsError

        sinks = []
        if ctx.delegated:
            sinks.append(lambda event: ctx.set_progress(progress=event.overall, label=event.label))
        elif ctx.params.get("progress") == "terminal":
            from ..elfs_plugin.progress import TerminalBar

            sinks.append(TerminalBar())
        try:
            summary = self._run_by_engine(ctx, self.collection(ctx), sinks)
        except Exception as error:  # logged, shown as a sentence, and raised again
            message = self._explain(error, ctx)
            with contextlib.suppress(Exception):
                ctx.ops.notify(message, variant="error")
            raise ElfsError(message) from None
        if self.long:
            ctx.ops.reload_dataset()
        self.after(ctx, summary)
        return summary

    def _run_by_engine(self, ctx, collection, sinks):
        from ..elfs_plugin.engine.choose import using

        if not self.distributes:
            return self.run(ctx, collection, sinks)
        with using(*engine_of(ctx.params)):
            return self.run(ctx, collection, sinks)

    def after(self, ctx, summary):
        """What a short operator shows in the App when it is done."""

    def _start(self, ctx):
        """Runs in a thread; returns the queue on which progress events and finally the outcome arrive."""
        collection = self.collection(ctx)
        events = queue.SimpleQueue()

        def work():
            try:
                events.put(self._run_by_engine(ctx, collection, [events.put]))
            except BaseException as error:
                logger.info("%s ended: %s", self.uri, error)
                events.put(_Failed(self._explain(error, ctx)))

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

    def _explain(self, error, ctx=None):
        """What the user is told of an error; one that nobody expected is logged."""
        from ..elfs_plugin.errors import ElfsError, explain

        if isinstance(error, ElfsError):
            return str(error)
        logger.error("%s failed", self.uri, exc_info=error)
        return explain(error, resumes=self.long and ctx is not None)

    def form(self, ctx, inputs, collection):
        """Adds the inputs, with their validation."""
        raise TypeError(f"{type(self).__name__} does not implement form()")

    def run(self, ctx, collection, sinks):
        """Does the work and returns a summary."""
        raise TypeError(f"{type(self).__name__} does not implement run()")


class _Failed:
    def __init__(self, message):
        self.message = message


def _target(dataset_or_view):
    """The dataset or view that a call from Python names."""
    from ..elfs_plugin.errors import InvalidInput
    from ..elfs_plugin.validation import shown

    found = dataset_or_view
    if isinstance(found, str) and fo.dataset_exists(found):
        found = fo.load_dataset(found)
    if not isinstance(found, fo.core.collections.SampleCollection):
        raise InvalidInput(f"Give a FiftyOne dataset or a view of one; {shown(found)} is neither.")
    dataset = found if isinstance(found, fo.Dataset) else found._dataset
    if dataset.deleted:
        raise InvalidInput("The dataset has been deleted. Load or make another one.")
    return found


def _resolved(target, key):
    """The dataset of rows, or a view of it, in place of videos and the like, unless the dataset itself has the run."""
    from ..elfs_plugin.runs import resolved

    return resolved(target, key)


def _has_rows_elsewhere(dataset):
    """Whether a dataset of videos or groups has no runs itself: its rows may have."""
    from ..elfs_plugin.runs import kind_of, list_runs

    return kind_of(dataset) is not None and not list_runs(dataset)


def _shows_progress(progress):
    """Whether a call from Python shows a bar."""
    from ..elfs_plugin.errors import InvalidInput
    from ..elfs_plugin.validation import shown

    if progress is None:
        return bool(fo.config.show_progress_bars)
    if isinstance(progress, bool) or progress == "terminal":
        return bool(progress)
    raise InvalidInput(
        f"From Python progress is True ('terminal') or False, not {shown(progress)}; 'panel' and 'dialog' are for the "
        "App."
    )


def _queue(uri, target, params):
    """Queues an operator for a worker and returns the operation."""
    outcome = queue.SimpleQueue()
    request = {"dataset" if isinstance(target, fo.Dataset) else "view": target, "params": params}

    def work():
        try:
            outcome.put(foo.execute_operator(uri, request, request_delegation=True))
        except Exception as error:  # raised again in the thread that waits
            outcome.put(error)

    # In a thread: where an event loop runs, as in a notebook, FiftyOne would only promise to queue it.
    threading.Thread(target=work, name="queue", daemon=True).start()
    found = outcome.get()
    if isinstance(found, Exception):
        raise found
    return found.result


def _first_reason(validation):
    """The sentence of the first thing that is wrong with a form."""
    error = validation.errors[0]
    path = error.path.lstrip(".")
    return error.reason if error.custom or not path else f"{path}: {error.reason}."


def _not_one_of(name, value, choices):
    from ..elfs_plugin.suggestions import did_you_mean
    from ..elfs_plugin.validation import shown

    return f"Unknown {name} {shown(value)}. Use one of: {', '.join(map(str, choices))}.{did_you_mean(value, choices)}"


def _refused(inputs, message):
    refuse(inputs.str("refused", label="", view=types.Error(label=message)), message)
    return inputs


def add_progress_choice(inputs):
    view = choices(types.RadioGroup(), PROGRESS)
    inputs.enum(
        "progress",
        view.values() + ["terminal"],
        default="panel",
        required=False,
        label="Show progress",
        view=view,
    )
