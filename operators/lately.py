"""What a form counts, kept for some seconds: it is drawn anew at every key that is pressed."""

import threading
import time

SECONDS = 10.0
_MOST = 64

_found = {}
_lock = threading.Lock()


def lately(name, count, now=time.monotonic):
    """What ``count()`` gave for a name (hashable) within the last seconds, or gives now.

    For what a form shows. What is done in the end counts anew.
    """
    with _lock:
        known = _found.get(name)
    if known is not None and now() - known[0] < SECONDS:
        return known[1]
    value = count()
    with _lock:
        _found.pop(name, None)
        while len(_found) >= _MOST:
            _found.pop(next(iter(_found)))
        _found[name] = now(), value
    return value
