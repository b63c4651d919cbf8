"""Jobs whose end the panel itself has told, so that its clock does not tell it once more.

The clock's request may have left the browser before the answer that says so came; hence not in the panel's state but
in the process of the App's server.
"""

import threading
from contextlib import contextmanager

_lock = threading.Lock()
_working = {}
_told = {}


@contextmanager
def telling(dataset, key):
    """While a callback runs a short job of its own and will say how it ended."""
    from ..elfs_plugin import runs

    name = (str(dataset._doc.id), key)
    with _lock:
        _working[name] = _working.get(name, 0) + 1
    try:
        yield
    finally:
        job = runs.read_job(dataset, key)
        with _lock:
            if job:
                _told[name] = job["started"]
            _working[name] -= 1


def is_telling(dataset, key):
    """Whether a callback is at work and will say how it ended."""
    return bool(_working.get((str(dataset._doc.id), key)))


def was_told(dataset, key, job):
    return _told.get((str(dataset._doc.id), key)) == job["started"]
