"""Independent pieces of work in threads, with one progress and one way to stop them all."""

import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from .errors import Cancelled

SECONDS_BETWEEN_REPORTS = 0.2


def in_threads(calls, workers, progress):
    """Runs N calls, ``workers`` of them at once, and yields (index, result) as each is finished.

    A call is given ``report(fraction, detail)``. ``progress`` hears the mean of their fractions, always from the thread
    that iterates. When it raises, or a call does, the others are ended by a :class:`~.errors.Cancelled` from their next
    report, and the error is raised once they have.
    """
    stop = threading.Event()
    fractions, latest = [0.0] * len(calls), [""]

    def run(index):
        def report(fraction, detail=""):
            if stop.is_set():
                raise Cancelled()
            fractions[index], latest[0] = fraction, detail

        result = calls[index](report)
        fractions[index] = 1.0
        return result

    with ThreadPoolExecutor(workers) as pool:
        waiting = {pool.submit(run, index): index for index in range(len(calls))}
        try:
            while waiting:
                finished, _ = wait(waiting, SECONDS_BETWEEN_REPORTS, FIRST_COMPLETED)
                for future in finished:
                    yield waiting.pop(future), future.result()
                progress(sum(fractions) / len(calls), latest[0])
        finally:
            stop.set()
            for future in waiting:
                future.cancel()
