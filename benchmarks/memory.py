"""The memory of each stage by formula, and what a process really takes: python -m benchmarks.memory [--save]."""

import argparse
import contextlib
import re
import threading
import time
from pathlib import Path

from elfs_plugin import scratch

from .results import Column, Table, started

HEADS = 8
MEMBERS = 16
COMPONENTS = 128
COVERED = 30
"""Neighbours that graph coverage looks at."""
STARTED = 1.2e9
"""Bytes of the process with PyTorch, faiss and numba, and of what a stage computes with whatever N is."""

FORMULAS = {
    "neighbors": "a(4ND) + 100 N",
    "pseudo_labels": "a(4ND) + 3 a(4Nd) + 2 Nk + 20 NH + 16 NC + 1,000 N",
    "dynamics": "4 a(8NM) + 4 a(4NM) + a(40NM) + 20 NM + 200 N",
    "beta": "8 S b + 300 N",
    "selection": "100 N",
    "choice": "2 a(8Nκ) + 600 N",
}
"""Bytes beside :data:`STARTED` and the neighbour graph, 2 a(4Nk); a(x) is x up to ``scratch.IN_MEMORY``, and 0 for what
is mapped.

N samples of D dimensions, d = min(D, 128), k neighbours, κ = 30 of them, C clusters, H = 8 heads, M = 16 members of the
proxy, S networks of the β search on b samples each. The graph stays as long as a method that needs it is to choose."""

NAMES = {
    "neighbors": "neighbours",
    "pseudo_labels": "clustering",
    "dynamics": "proxy",
    "beta": "β search",
    "selection": "zones",
    "choice": "graph coverage",
}
SIZES = (200_000, 1_000_000, 5_000_000)
ON_PAPER = {"dimensions": 128, "k": 50, "clusters": 10, "networks": 30}
SHARE = 0.01


def main(arguments=None):
    """Tabulates the formulas."""
    parser = argparse.ArgumentParser(description=__doc__)
    options, recording = started("memory", parser, arguments)
    table = Table(["stage", "bytes", *(Column(f"{n:,}: GB", 1) for n in SIZES)])
    for stage, text in FORMULAS.items():
        sizes = [formula(stage, n, budget=round(SHARE * n), **ON_PAPER) / 1e9 for n in SIZES]
        table.add(NAMES[stage], text, *sizes)
    recording.finish({"formulas": table})


def formula(stage, n, dimensions, k, clusters, budget, networks):
    """Bytes of a stage by :data:`FORMULAS`, with the graph and with what every process takes."""

    def a(size):
        return size if size <= scratch.IN_MEMORY else 0

    small, graph = min(dimensions, COMPONENTS), 2 * a(4 * n * k)
    clustering = n * (2 * k + 20 * HEADS + 16 * clusters + 1000)
    recorded = 4 * a(8 * n * MEMBERS) + 4 * a(4 * n * MEMBERS) + a(40 * n * MEMBERS)
    own = {
        "neighbors": a(4 * n * dimensions) + 100 * n,
        "pseudo_labels": a(4 * n * dimensions) + 3 * a(4 * n * small) + clustering,
        "dynamics": recorded + n * (20 * MEMBERS + 200),
        "beta": 8 * networks * budget + 300 * n,
        "selection": 100 * n,
        "choice": 2 * a(8 * n * COVERED) + 600 * n,
    }
    return STARTED + graph + own[stage]


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


if __name__ == "__main__":
    main()
