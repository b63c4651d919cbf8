"""The connection to a Ray cluster: joined by its address, or started on this machine and ended again."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from ..errors import EngineFailed, InvalidInput
from ..text import first_line

CPUS_VARIABLE, STORE_VARIABLE = "ELFS_RAY_CPUS", "ELFS_RAY_STORE_MB"
ANSWERS_WITHIN = 10.0
"""Seconds in which an address has to answer."""
STORE_SHARE, SHARED_MEMORY_SHARE = 0.3, 0.9
"""Of the free memory, and of what /dev/shm has free, that the object store may take at most."""
LEAST_STORE, LARGEST_STORE = 80 << 20, 64 << 30
"""Bytes; Ray starts with no fewer."""


class Cluster:
    """A connection. What was started for it is ended with it; who had connected before stays so.

    Args:
        address: ``HOST:PORT`` or ``"auto"``; None: a cluster of its own on this machine, or the one that this process
            is connected to already

    Raises:
        InvalidInput: when the address does not answer, or its Ray or Python is of another version
        EngineFailed: when no cluster could be started
    """

    def __init__(self, address: str | None) -> None:
        import ray

        self.joined = address is not None
        self._opened = not ray.is_initialized()
        if not self._opened:
            self.joined = True  # whose machines they are is not known
            return
        if address is not None:
            _answering(address)
            _within(ANSWERS_WITHIN, lambda: _init(address=address), f"The Ray cluster at {address} does not answer")
        else:
            _start()

    def close(self) -> None:
        """Ends the connection, and with it what was started for it."""
        import ray

        if self._opened:
            self._opened = False
            with own_signals():
                ray.shutdown()


@contextlib.contextmanager
def own_signals() -> Iterator[None]:
    """A block after which SIGTERM is handled as before: Ray takes it, and would end the process its own way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:  # None was not set from Python, and cannot be put back
            signal.signal(signal.SIGTERM, before)


def store_bytes() -> int:
    """How large the object store may be: a share of the free memory, or what ``ELFS_RAY_STORE_MB`` says.

    Raises:
        InvalidInput: when that is no number of megabytes
    """
    asked = os.environ.get(STORE_VARIABLE)
    if asked:
        return max(LEAST_STORE, _whole(STORE_VARIABLE, asked) << 20)
    free = STORE_SHARE * psutil.virtual_memory().available
    if os.path.isdir("/dev/shm"):
        free = min(free, SHARED_MEMORY_SHARE * shutil.disk_usage("/dev/shm").free)
    return int(min(max(free, LEAST_STORE), LARGEST_STORE))


def _whole(name, text):
    if not text.strip().isdecimal() or int(text) < 1:
        raise InvalidInput(f"{name} is '{text}'; it must be a whole number from 1.")
    return int(text)


def _start():
    cpus = os.environ.get(CPUS_VARIABLE)
    try:
        _init(
            address="local",
            num_cpus=_whole(CPUS_VARIABLE, cpus) if cpus else None,
            object_store_memory=store_bytes(),
            include_dashboard=False,
        )
    except (RuntimeError, OSError, ValueError, TimeoutError) as error:
        shorter = " Set RAY_TMPDIR to a folder with a shorter name." if "AF_UNIX path" in str(error) else ""
        raise EngineFailed(f"Ray could not be started on this machine ({first_line(error)}).{shorter}") from error


def _init(**given):
    import ray

    # Ray counts who uses it, and asks nobody.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with own_signals():
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **given)
        except RuntimeError as error:
            raise _other_versions(error) or error from None


def _other_versions(error):
    """A sentence that names both versions, where Ray has refused the cluster's."""
    found = re.findall(r"Ray: (\S+)\s+Python: (\S+)", str(error))
    if "Version mismatch" not in str(error) or len(found) < 2:
        return None
    (ray_there, python_there), (ray_here, python_here) = found[:2]
    return InvalidInput(
        f"The cluster runs Ray {ray_there} with Python {python_there}, this process Ray {ray_here} with Python "
        f"{python_here}. Both must be the same (of Python, the first two numbers).",
        "address",
    )


def check_address(address: str | None) -> None:
    """Refuses what is no address; asks nobody.

    Raises:
        InvalidInput: for other than ``HOST:PORT`` and ``"auto"``
    """
    if address in (None, "auto"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InvalidInput(f"The address of a Ray cluster is HOST:PORT or 'auto', not '{address}'.", "address")


def _answering(address):
    """Refuses an address at which nobody listens; Ray would ask for minutes."""
    check_address(address)
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWERS_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise InvalidInput(
            f"The Ray cluster at {address} does not answer ({first_line(error)}). Check the address, and that the "
            "cluster runs: `ray status` says so.",
            "address",
        ) from None


def _within(seconds: float, call: Callable[[], Any], problem: str) -> None:
    """Calls in a thread and waits for so long; a connection that comes too late is ended."""
    state: dict[str, Any] = {}
    lock = threading.Lock()

    def work():
        try:
            call()
        except Exception as error:  # raised again in the thread that waits
            state["error"] = error
        with lock:
            state["done"] = True
            if state.get("given_up") and "error" not in state:
                import ray

                ray.shutdown()

    thread = threading.Thread(target=work, name="ray-connect", daemon=True)
    thread.start()
    thread.join(seconds)
    with lock:
        if not state.get("done"):
            state["given_up"] = True
            raise InvalidInput(f"{problem} within {seconds:.0f} seconds.", "address")
    error = state.get("error")
    if isinstance(error, InvalidInput):
        raise error
    if error is not None:
        raise InvalidInput(f"{problem} as it should ({first_line(error)}).", "address") from error
