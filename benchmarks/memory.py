"""The memory of each stage by formula, and what a process really takes."""

import contextlib
import re
import threading
import time
from pathlib import Path

from elfs_plugin import scratch

HEADS = 8
MEMBERS = 16
COMPONENTS = 128
COVERED = 30
"""Neighbours that graph coverage looks at."""
STARTED = 1.1e9
"""Bytes of the process with PyTorch, faiss and numba, and of what a stage computes with whatever N is."""

FORMULAS = {
    "neighbors": "a(4ND) + 2 a(4Nk) + 100 N",
    "pseudo_labels": "a(4ND) + 3 a(4Nd) + 2 a(4Nk) + 2 Nk + 20 NH + 16 NC + 1,000 N",
    "dynamics": "4 a(8NM) + 4 a(4NM) + a(40NM) + 20 NM + 200 N",
    "beta": "8 S b + 300 N",
    "selection": "100 N",
    "choice": "2 a(4Nk) + 2 a(8Nκ) + 600 N",
}
"""Bytes beside what every process takes; a(x) is x up to the limit of ``scratch.IN_MEMORY``, and 0 for what is mapped.

N samples of D dimensions, d = min(D, 128), k neighbours, κ = 30 of them, C clusters, H = 8 heads, M = 16 members of the
proxy, S networks of the β search on b samples each."""


def formula(stage, n, dimensions, k, clusters, budget, networks):
    """Bytes of a stage by :data:`FORMULAS`, with what every process takes."""

    def a(size):
        return size if size <= scratch.IN_MEMORY else 0

    small, graph = min(dimensions, COMPONENTS), 2 * a(4 * n * k)
    clustering = n * (2 * k + 20 * HEADS + 16 * clusters + 1000)
    recorded = 4 * a(8 * n * MEMBERS) + 4 * a(4 * n * MEMBERS) + a(40 * n * MEMBERS)
    return (
        STARTED
        + {
            "neighbors": a(4 * n * dimensions) + graph + 100 * n,
            "pseudo_labels": a(4 * n * dimensions) + 3 * a(4 * n * small) + graph + clustering,
            "dynamics": recorded + n * (20 * MEMBERS + 200),
            "beta": 8 * networks * budget + 300 * n,
            "selection": 100 * n,
            "choice": graph + 2 * a(8 * n * COVERED) + 600 * n,
        }[stage]
    )


class Watched:
    """The most private memory of this process since :meth:`reset`, in bytes, looked at every 20 ms (a context manager).

    What is mapped from files is not counted: the system takes it back when others need it.
    """

    def __init__(self, seconds=0.02):
        self._seconds, self._stop, self._most = seconds, threading.Event(), 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()

    def reset(self):
        """Returns the most so far, and begins anew."""
        most, self._most = max(self._most, private_memory()), 0
        return most

    def _watch(self):
        while not self._stop.is_set():
            self._most = max(self._most, private_memory())
            time.sleep(self._seconds)


def private_memory():
    """Bytes of this process that are in no file."""
    return int(re.search(r"RssAnon:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def limit_memory(size):
    """Lets this process have no more private memory than ``size`` bytes: what asks for more fails."""
    import resource

    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (int(size), int(size)))
