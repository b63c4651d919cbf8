"""The process that holds a lock or writes a file, described so that another can tell whether it is still there.

A process id alone says little: another container has its own ids under the same host name, and an id is given again
after its process has ended. So an owner is judged only where its id means the same process (one start of one machine,
one namespace of process ids), and then by its start time as well.
"""

import hashlib
import os
import socket
import sys
from collections.abc import Mapping
from typing import Any

import psutil

_PLACE = ("host", "boot", "namespace")
_LINUX = sys.platform.startswith("linux")
_TOLERANCE = 2.0
"""Seconds between two readings of one start time, where the system does not count it in ticks since its start."""


def this_process() -> dict[str, Any]:
    """This process as a dict: ``host``, ``pid``, ``started``, and ``boot`` and ``namespace``, which are None where the
    system does not tell."""
    looked = _look(os.getpid())
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": looked and looked[0],
        "boot": _boot(),
        "namespace": _namespace(),
    }


def is_dead(owner: Mapping[str, Any]) -> bool:
    """Whether the process that a dict of :func:`this_process` describes has certainly ended.

    False where that cannot be known from here: on another machine, in another container, or for a dict without the
    entries that earlier versions did not write.
    """
    here = this_process()
    if any(here[name] is None or owner.get(name) != here[name] for name in _PLACE):
        return False
    try:
        looked = _look(owner["pid"])
    except PermissionError:
        return False
    if looked is None:
        return True
    started, ended = looked
    return ended or (
        owner.get("started") is not None and abs(started - owner["started"]) > (0 if _LINUX else _TOLERANCE)
    )


def place() -> str | None:
    """A short name of where process ids mean what they mean here; None where that is not known."""
    here = this_process()
    parts = [here[name] for name in _PLACE]
    return None if None in parts else hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def is_running(pid: int) -> bool:
    """Whether a process of this place runs; one that ended and that its parent has not asked for does not."""
    try:
        looked = _look(pid)
    except PermissionError:
        return True
    return looked is not None and not looked[1]


def _boot():
    """What tells this start of the machine from every other."""
    if not _LINUX:
        return str(round(psutil.boot_time()))
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return None


def _namespace():
    """The namespaces in which a process id and a start time mean what they mean here."""
    if not _LINUX:
        return "all"
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return None  # /proc shows the ids of another namespace
        pids = os.readlink("/proc/self/ns/pid")
        times = "/proc/self/ns/time"  # Linux before 5.6 has none
        return f"{pids} {os.readlink(times)}" if os.path.lexists(times) else pids
    except OSError:
        return None


def _look(pid):
    """The start time of a process and whether it has ended (it waits for its parent), or None when there is none.

    Raises:
        PermissionError: when there is one that this user may not look at
    """
    if not _LINUX:
        try:
            process = psutil.Process(pid)
            return process.create_time(), process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        except psutil.AccessDenied:
            raise PermissionError(pid) from None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            values = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        raise PermissionError(pid) from None  # /proc hides the processes of other users
    state, threads, started = values[0], int(values[17]), int(values[19])
    # Ticks since the start of the machine, which no change of its clock moves.
    return started, state in (b"Z", b"X") and threads <= 1
