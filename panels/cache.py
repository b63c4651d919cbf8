"""What is dear to read and the same until scores change, kept in the process of the App's server."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from ..elfs_plugin.errors import InvalidInput
from ..elfs_plugin.pruning.cuts import cluster_counts, cut_table
from .base import WRITTEN_ANEW

KEPT = 4
"""Rankings kept, 12 bytes for each image: 48 MB for four runs on a million."""

_rankings = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Ranking:
    """``table`` of :func:`~..elfs_plugin.pruning.cuts.cut_table`, made from ``scores`` (N,) and ``labels`` (N,) by
    rank; ``names[l]`` is the cluster l."""

    table: dict
    scores: np.ndarray
    labels: np.ndarray
    names: list

    def left_out(self, hard, budget):
        """Clusters without any image in the coreset of a cut, the largest first: [(name, size)]."""
        counts = cluster_counts(self.labels, hard, budget, clusters=len(self.names))
        sizes = counts.sum(axis=1)
        lost = [at for at in np.argsort(-sizes, kind="stable") if sizes[at] and not counts[at, 1]]
        return [(self.names[at], int(sizes[at])) for at in lost]


def ranking(run):
    """The current :class:`Ranking` of a :class:`~..elfs_plugin.runs.run.Run`."""
    from ..elfs_plugin import runs

    key = (str(run.dataset._doc.id), run.key, runs.ranking_version(run.record))
    with _lock:
        if key in _rankings:
            _rankings.move_to_end(key)
            return _rankings[key]
    found = _read(run)
    with _lock:
        _rankings[key] = found
        while len(_rankings) > KEPT:
            _rankings.popitem(last=False)
    return found


def _read(run):
    from ..elfs_plugin import runs
    from ..elfs_plugin.pruning.scores import HARD_WHEN
    from .figures import SCORE_NAMES

    if "scores" not in run.stages:
        raise InvalidInput(WRITTEN_ANEW)
    score = run.stages["scores"]["score"]
    _, scores, labels, names = runs.read_ranking(run, deleted=True, with_ids=False)
    table = cut_table(scores, labels, names, hard=HARD_WHEN[score], score_name=SCORE_NAMES[score])
    return Ranking(table, scores, labels, list(names))
