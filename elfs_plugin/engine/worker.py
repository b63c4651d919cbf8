"""What is done in a worker's process: pieces, and items one after the other."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import pickle
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import Cancelled, ElfsError
from ..text import first_line

SECONDS_BETWEEN_BEATS = 1.0
ATTEMPTS = 2
"""How often an item is begun in a worker that dies on it, before it is left to be looked at more closely."""

_busy = 0
_stopped: set[str] = set()
"""Jobs that have ended before their pieces have, as far as the ledger was heard."""
_threads: int | None = None
_ledger: Any = None
"""That of the newest piece: a process outlives the engine that it has worked for first."""
_beating: threading.Thread | None = None
_changing = threading.Lock()


def perform(ledger: Any, payload: bytes, shared: Sequence[Any]) -> tuple[bool, Any]:
    """(True, result) of a packed :class:`~.base.Piece`, or (False, pickled exception): an error of the library is
    raised where the work comes from, as it is, and not tried again."""
    try:
        with at_work(ledger):
            piece = pickle.loads(payload)
            arguments = [shared[value] if kind == "shared" else value for kind, value in piece["arguments"]]
            compute_on(piece["threads"])
            report = functools.partial(_report, piece["job"])
            report(0.0)
            return True, piece["function"](*arguments, report)
    except Exception as error:  # whatever it is, it is raised again by the driver
        return False, portable(error)


def _report(job, fraction, detail=""):
    """The progress of a piece: nobody is told, but it ends where its job has ended."""
    if job in _stopped:
        raise Cancelled()


class Items:
    """``function(*arguments)`` is made once in a process and then called with one item after the other.

    Each row of a batch has the number of its item, ``item``, and the item itself, pickled. A row of the result has
    ``item``, ``state`` (done, failed, crashed) and ``found``, pickled.
    """

    def __init__(self, ledger: Any, payload: bytes) -> None:
        self._ledger, self._given = ledger, pickle.loads(payload)
        self._threads = self._given["threads"]
        self._function: Any = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        states, found = [], []
        for number, item in zip(batch["item"], batch["value"]):
            state, value = self._one(int(number), item)
            states.append(state)
            found.append(value)
        return {"item": np.asarray(batch["item"]), "state": np.array(states), "found": np.array(found, dtype=object)}

    def _one(self, number, item):
        import ray

        if ray.get(self._ledger.begin.remote(self._given["job"], number)) > ATTEMPTS:
            return "crashed", b""
        try:
            with at_work(self._ledger):
                compute_on(self._threads)
                if self._function is None:
                    self._function = self._given["function"](*(value for _, value in self._given["arguments"]))
                return "done", pickle.dumps(self._function(pickle.loads(item)), protocol=5)
        except Exception as error:  # as in perform
            return "failed", portable(error)


def stream(library: dict[str, Any], ledger: Any, payload: bytes) -> Iterator[Any]:
    """Runs items through a pool of :class:`~.bootstrap.Worker` by Ray Data, and yields (item, state, found) of each as
    it comes. It runs in a process of its own: whoever ends that ends all of it."""
    import ray
    import ray.data

    from .shipping import remote_bootstrap

    given = pickle.loads(payload)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = 0
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    bootstrap = remote_bootstrap(ray)
    rows = [{"item": number, "value": value} for number, value in given["items"]]
    made = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        bootstrap.Worker,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(
            min_size=1,
            max_size=given["size"],
            initial_size=given["size"],
            max_tasks_in_flight_per_actor=2,
        ),
        fn_constructor_args=(library, ledger, given["worker"]),
        num_cpus=given["cpus"],
        num_gpus=given["gpus"],
    )
    for row in made.iter_rows():
        yield int(row["item"]), str(row["state"]), row["found"]


@contextlib.contextmanager
def at_work(ledger: Any) -> Iterator[None]:
    """A block during which the ledger hears that this process is alive."""
    global _busy, _beating, _ledger
    with _changing:
        _busy += 1
        _ledger = ledger
        if _beating is None:
            _beating = threading.Thread(target=_beat, daemon=True)
            _beating.start()
    try:
        yield
    finally:
        with _changing:
            _busy -= 1


def _beat():
    while True:
        if _busy:
            with contextlib.suppress(Exception):  # the driver has ended, and so will this process
                _tell()
        time.sleep(SECONDS_BETWEEN_BEATS)


def _tell():
    """Tells the ledger that this process is alive, and hears which jobs are to stop."""
    import ray

    _stopped.update(ray.get(_ledger.beat.remote(), timeout=10 * SECONDS_BETWEEN_BEATS))


def compute_on(threads: int) -> None:
    """From now on this process computes on so many threads, whatever Ray says of it: sums may depend on it."""
    global _threads
    import torch

    torch.set_num_threads(threads)  # of the calling thread, which may be another one each time
    if threads == _threads:
        return  # to look at all libraries takes as long as a small piece
    from threadpoolctl import threadpool_limits

    os.environ["OMP_NUM_THREADS"] = str(threads)  # for what is loaded later
    threadpool_limits(threads)
    _threads = threads


def portable(error: BaseException) -> bytes:
    """An exception as bytes, without what cannot be sent."""
    try:
        made = pickle.dumps(error)
        pickle.loads(made)
        return made
    except Exception:  # exceptions of others may hold anything
        return pickle.dumps(ElfsError(f"{type(error).__name__}: {first_line(error)}"))
