"""Streams of a GPU that nobody else uses meanwhile.

PyTorch hands out the same 32 streams in turn. A stream on which a step is being captured must not be that of another
thread, whose kernels would become part of the graph: so a stream is taken here, and given back for the next one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch

_free: dict[torch.device, list[Any]] = {}
_lock = threading.Lock()


def take(device: torch.device) -> torch.cuda.Stream:
    """A stream that is the caller's until :func:`give_back`."""
    with _lock:
        free = _free.setdefault(device, [])
        return free.pop() if free else torch.cuda.Stream(device)


def give_back(device: torch.device, stream: torch.cuda.Stream) -> None:
    """Ends the use of a stream that was taken."""
    with _lock:
        _free.setdefault(device, []).append(stream)


@contextlib.contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """On a GPU a stream of its own for the calling thread, whose kernels then need not wait for what others have
    started. It has waited for what the thread had started before; at the end all of it is done."""
    if device.type != "cuda":
        yield
        return
    stream = take(device)
    try:
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            yield
        stream.synchronize()
    finally:
        give_back(device, stream)
