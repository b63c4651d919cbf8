"""When harm is done: at a time, or exactly before or after a write to the database or to a file.

A :class:`Writes` counts what the operator writes by itself: MongoDB's commands through pymongo's own monitoring, and
files through Python's audit events. The product knows nothing of it.
"""

import os
import sys
import threading

from pymongo import monitoring

_COMMANDS = {
    "insert",
    "update",
    "delete",
    "findAndModify",
    "create",
    "createIndexes",
    "drop",
    "dropIndexes",
    "renameCollection",
}
_FILES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate"}
_STORE = "execution_store"


class Writes:
    """Counts the writes of this process to the database and below ``root``, and acts at one of them.

    Args:
        root: the world's folder
        stop: None, or {"write": k, "when": "before" or "after", "signal": number, "pid": whom, None: this process}
    """

    def __init__(self, root, stop=None):
        self._root = os.path.realpath(root) + os.sep
        self._stop = stop
        self._on = False
        self._main = threading.get_ident()
        self._lock = threading.Lock()
        self.names = []
        monitoring.register(_Listener(self))
        sys.addaudithook(self._audit)

    def begin(self):
        self._on = True

    def end(self):
        self._act(len(self.names), "after")
        self._on = False

    def started(self, name):
        """A write begins. Returns its number."""
        with self._lock:
            self.names.append(name)
            number = len(self.names)
        self._act(number - 1, "after")  # files do not say when they are done
        self._act(number, "before")
        return number

    def done(self, number):
        """A write has ended."""
        self._act(number, "after")

    @property
    def on(self):
        return self._on and threading.current_thread().name != "elfs-heartbeat"

    def _act(self, number, when):
        stop = self._stop
        # At that one or the next: a checkpoint more or less shifts the numbers.
        if stop and stop["write"] <= number and stop["when"] == when:
            self._stop = None
            os.kill(stop["pid"] or os.getpid(), stop["signal"])

    def _audit(self, event, arguments):
        if not self._on or event not in _FILES and event != "open":
            return
        if event == "open":
            mode, flags = arguments[1], arguments[2]
            writing = any(letter in mode for letter in "wxa+") if isinstance(mode, str) else False
            if not writing and not (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
                return
        path = arguments[0]
        if isinstance(path, int):
            return
        path = os.path.abspath(os.fsdecode(path))
        if path.startswith(self._root) and self.on and not (event == "os.mkdir" and os.path.isdir(path)):
            self.started(f"{event.removeprefix('os.')} {_short(path.removeprefix(self._root))}")


def _short(path):
    parts = path.split(os.sep)
    return os.sep.join(parts if len(parts) <= 3 else [parts[0], "…", *parts[-2:]])


class _Listener(monitoring.CommandListener):
    def __init__(self, writes):
        self._writes = writes
        self._numbers = {}

    def started(self, event):
        if not self._writes.on or not _is_write(event):
            return
        target = event.command.get(event.command_name)
        kind = target.split(".")[0] if isinstance(target, str) else ""
        self._numbers[event.request_id] = self._writes.started(f"{event.command_name} {kind}")

    def succeeded(self, event):
        number = self._numbers.pop(event.request_id, None)
        if number is not None:
            self._writes.done(number)

    failed = succeeded


def _is_write(event):
    name = event.command_name
    if event.command.get(name) == _STORE and name not in ("insert", "delete"):
        return False  # progress and heartbeats: their number is chance
    if name == "aggregate":
        pipeline = event.command.get("pipeline") or [{}]
        return bool({"$merge", "$out"} & set(pipeline[-1]))
    return name in _COMMANDS
