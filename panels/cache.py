"""What is dear to read and the same until scores change, kept in the process of the App's server."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

KEPT = 4
"""Rankings kept, 12 bytes for each image: 48 MB for four runs on a million."""

_rankings = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Ranking:
    """``table`` of :func:`~..elfs_plugin.cuts.cut_table`, made from ``scores`` (N,) and ``labels`` (N,) by rank."""

    table: dict
    scores: np.ndarray
    labels: np.ndarray


def ranking(dataset, record):
    """The run's current :class:`Ranking`."""
    from ..elfs_plugin import runs

    key = (str(dataset._doc.id), record.key, runs.ranking_version(record))
    with _lock:
        if key in _rankings:
            _rankings.move_to_end(key)
            return _rankings[key]
    found = _read(dataset, record)
    with _lock:
        _rankings[key] = found
        while len(_rankings) > KEPT:
            _rankings.popitem(last=False)
    return found


def _read(dataset, record):
    from ..elfs_plugin import runs
    from ..elfs_plugin.cuts import cut_table
    from ..elfs_plugin.scores import HARD_WHEN
    from .figures import SCORE_NAMES

    score = record.stages["scores"]["score"]
    _, scores, labels, names = runs.read_ranking(dataset, record.key, deleted=True, with_ids=False)
    table = cut_table(scores, labels, names, hard=HARD_WHEN[score], score_name=SCORE_NAMES[score])
    return Ranking(table, scores, labels)
