"""What is dear to read and the same until scores change, kept in the process of the App's server."""

import threading
from collections import OrderedDict

KEPT = 4
"""Rankings kept: a table is small, so this bounds the App's memory at well under a megabyte."""

_tables = OrderedDict()
_lock = threading.Lock()


def cut_table(dataset, record):
    """The table of the live histogram for the run's current ranking, see :func:`~..elfs_plugin.cuts.cut_table`."""
    from ..elfs_plugin import runs

    key = (str(dataset._doc.id), record.key, runs.ranking_version(record))
    with _lock:
        if key in _tables:
            _tables.move_to_end(key)
            return _tables[key]
    table = _make(dataset, record)
    with _lock:
        _tables[key] = table
        while len(_tables) > KEPT:
            _tables.popitem(last=False)
    return table


def _make(dataset, record):
    from ..elfs_plugin import runs
    from ..elfs_plugin.cuts import cut_table as make
    from ..elfs_plugin.scores import HARD_WHEN
    from .figures import SCORE_NAMES

    score = record.stages["scores"]["score"]
    _, scores, labels, names = runs.read_ranking(dataset, record.key)
    return make(scores, labels, names, hard=HARD_WHEN[score], score_name=SCORE_NAMES[score])
