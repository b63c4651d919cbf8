"""Independent pieces of work in threads, with one progress and one way to stop them all."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..contracts import Progress
from ..errors import Cancelled

SECONDS_BETWEEN_REPORTS = 0.2
AHEAD = 4
"""Results of a worker that may wait to be taken: who takes them may be slower, and they are in memory."""


def in_threads(
    calls: Sequence[Callable[[Progress], Any]], workers: int, progress: Progress
) -> Iterator[tuple[int, Any]]:
    """Runs N calls, ``workers`` of them at once, and yields (index, result) as each is finished.

    A call is given ``report(fraction, detail)``. ``progress`` hears the mean of their fractions, always from the thread
    that iterates. When it raises, or a call does, the others are ended by a :class:`~..errors.Cancelled` from their
    next report, and the error is raised once they have. The threads do not keep a process alive that wants to end.
    """
    ended: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
    stop, todo = threading.Event(), deque(range(len(calls)))
    room = threading.Semaphore(max(1, AHEAD * workers))
    fractions, latest = [0.0] * len(calls), [""]

    def run(index):
        def report(fraction, detail=""):
            if stop.is_set():
                raise Cancelled()
            fractions[index], latest[0] = fraction, detail

        try:
            result, error = calls[index](report), None
        except BaseException as caught:  # raised again in the thread that iterates
            result, error = None, caught
        fractions[index] = 1.0
        ended.put((index, result, error))

    def work():
        while todo and not stop.is_set():
            if not room.acquire(timeout=SECONDS_BETWEEN_REPORTS):
                continue
            try:
                index = todo.popleft()
            except IndexError:  # another thread was quicker
                return
            run(index)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(calls)))]
    for thread in threads:
        thread.start()
    try:
        for _ in calls:
            while True:
                try:
                    index, result, error = ended.get(timeout=SECONDS_BETWEEN_REPORTS)
                    break
                except queue.Empty:
                    progress(sum(fractions) / len(calls), latest[0])
            if error is not None:
                raise error
            yield index, result
            room.release()
            progress(sum(fractions) / len(calls), latest[0])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
