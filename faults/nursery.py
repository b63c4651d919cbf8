"""A process that has imported everything and connected to nothing; it forks one child for each action.

Started as ``python -m faults.nursery``: an action a line (JSON) on its input; on its output ``{"pid"}`` for each, then
``{"started": pid}`` when its work begins and ``{"ended": pid, "status"}`` when it is gone. :class:`Nursery` is the
other side.
"""

import dataclasses
import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import time
import traceback

PLUGIN = "fiftyone.plugins.orgs.elfs.coreset.elfs_plugin"
"""The name under which FiftyOne imports the plugin's library."""

_OUTPUT = 3


class Child:
    """A process at work on an action."""

    def __init__(self, pid, result_file):
        self.pid = pid
        self.started = False
        self.status = None
        self._file = result_file

    @property
    def signal(self):
        """The number of the signal that ended it, or None."""
        return os.WTERMSIG(self.status) if self.status is not None and os.WIFSIGNALED(self.status) else None

    @property
    def result(self):
        """What the action left, or None when it was killed before its end."""
        try:
            with open(self._file) as file:
                return json.load(file)
        except (OSError, ValueError):
            return None


class Nursery:
    """Starts and watches children (a context manager)."""

    def __init__(self, world):
        self._folder = world.root / "results"
        self._folder.mkdir()
        self._count = 0
        self._children = {}
        self._rest = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "faults.nursery", str(world.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=world.environment,
            start_new_session=True,
            stderr=open(world.root / "children.log", "a"),
        )
        if not self._until(lambda: self._ready, 300):
            raise RuntimeError(f"The plugin does not load; see {world.root}/children.log.")

    _ready = False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for child in list(self._children.values()):
            os.kill(child.pid, signal.SIGKILL)
        self._process.stdin.close()
        self._process.wait(30)

    def start(self, action, **options):
        """Forks a :class:`Child` that does ``actions.<action>(**options)``."""
        self._count += 1
        file = str(self._folder / f"{self._count}.json")
        self._new = None
        self._process.stdin.write(json.dumps({"action": action, "options": options, "file": file}).encode() + b"\n")
        self._process.stdin.flush()
        if not self._until(lambda: self._new is not None, 60):
            raise RuntimeError("The nursery does not answer.")
        child = Child(self._new, file)
        self._children[child.pid] = child
        return child

    def run(self, action, seconds=240, **options):
        """Does an action to its end. Returns its result.

        Raises:
            RuntimeError: when it fails or takes longer
        """
        child = self.start(action, **options)
        if not self.wait(child, seconds):
            raise RuntimeError(f"{action} takes longer than {seconds} s.")
        found = child.result
        if found is None or "failed" in found:
            raise RuntimeError(f"{action} failed: {found and found['failed']}")
        return found["value"]

    def poll(self):
        """Hears what has been said meanwhile."""
        self._receive(0)

    def until_started(self, child, seconds=60):
        return self._until(lambda: child.started or child.status is not None, seconds)

    def wait(self, child, seconds):
        """Waits until it has ended; kills it when it takes longer. Returns whether it ended by itself."""
        if self._until(lambda: child.status is not None, seconds):
            return True
        os.kill(child.pid, signal.SIGKILL)
        self._until(lambda: child.status is not None, 30)
        return False

    def _until(self, condition, seconds):
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._receive(left)
        return True

    def _receive(self, seconds):
        output = self._process.stdout.fileno()
        if not select.select([output], [], [], seconds)[0]:
            return
        data = os.read(output, 1 << 16)
        if not data:
            raise RuntimeError("The nursery has ended; see children.log.")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, message):
        if "ready" in message:
            self._ready = True
        elif "pid" in message:
            self._new = message["pid"]
        elif "started" in message and message["started"] in self._children:
            self._children[message["started"]].started = True
        elif "ended" in message and message["ended"] in self._children:
            self._children.pop(message["ended"]).status = message["status"]


def _prepare():
    """Imports all that an operator may need, and shortens what no fault depends on."""
    import faiss  # noqa: F401
    import fiftyone.operators as foo
    import sklearn.cluster  # noqa: F401
    import torch._dynamo  # noqa: F401

    if not foo.operator_exists("@elfs/coreset/run_elfs"):
        raise SystemExit("The plugin does not load.")
    package = importlib.import_module(PLUGIN)
    for module in pkgutil.walk_packages(package.__path__, f"{PLUGIN}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    importlib.import_module("faults.actions")
    config = importlib.import_module(f"{PLUGIN}.clustering").ClusteringConfig
    few = config(heads=2, learning_rate=2e-4, min_steps=100, max_steps=100, warm_start_steps=50)
    for preset in ("quick", "default"):
        replace(config, preset, staticmethod(lambda: few))
    kinds = importlib.import_module(f"{PLUGIN}.proxy.kinds")
    mlp = kinds.KINDS["mlp"]
    fewer = dataclasses.replace(mlp, candidate={**mlp.candidate, "steps": 20})
    replace(kinds, "KINDS", {**kinds.KINDS, "mlp": fewer})


def replace(owner, name, value):
    """Sets what is there: a setting of the library that has been renamed must not pass unnoticed."""
    if not hasattr(owner, name):
        raise AttributeError(f"{owner} has no {name} any more; the campaign has to follow.")
    setattr(owner, name, value)


def _say(**message):
    os.write(_OUTPUT, json.dumps(message).encode() + b"\n")  # one write: lines of several processes do not mix


def _child(order, root):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    from . import actions

    try:
        value = getattr(actions, order["action"])(root, lambda: _say(started=os.getpid()), **order["options"])
        found, status = {"value": value}, 0
    except KeyboardInterrupt:
        found, status = {"failed": "KeyboardInterrupt"}, 130
    except BaseException:
        found, status = {"failed": traceback.format_exc()}, 1
    partial = order["file"] + ".partial"
    with open(partial, "w") as file:
        json.dump(found, file, default=str)
    os.replace(partial, order["file"])
    os._exit(status)


def main():
    root = sys.argv[1]
    os.dup2(1, _OUTPUT)
    os.dup2(2, 1)  # what FiftyOne prints goes to the log
    _prepare()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _say(ready=True)
    rest = b""
    while True:
        ready = select.select([0, reader], [], [])[0]
        if reader in ready:
            os.read(reader, 1 << 12)
        # At once: until its parent has asked for its status, a process that died looks alive to others.
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            _say(ended=pid, status=status)
        if 0 in ready:
            data = os.read(0, 1 << 16)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                pid = os.fork()
                if not pid:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _child(json.loads(line), root)
                _say(pid=pid)


if __name__ == "__main__":
    main()
