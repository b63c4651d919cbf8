"""A MongoDB of its own for the campaign, and for the tests: it can be killed and started again on the same files."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pymongo

START_SECONDS = 60


class Mongod:
    """A ``mongod`` (FiftyOne's own binary) on a free port, its data in ``folder``; ``cache`` in GB."""

    def __init__(self, folder, cache=0.5):
        self._cache = cache
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self.port = _free_port()
        self._process = None
        self.start()

    @property
    def uri(self):
        return f"mongodb://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        """Starts it, and waits until it answers."""
        command = [
            _binary(),
            "--dbpath",
            str(self._folder),
            "--port",
            str(self.port),
            "--bind_ip",
            "127.0.0.1",
            "--nounixsocket",
            "--wiredTigerCacheSizeGB",
            str(self._cache),
            "--logappend",
            "--logpath",
            str(self._folder.with_name("mongod.log")),
        ]
        # A session of its own: Ctrl-C on the campaign must not reach it before the campaign has ended.
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_parent
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(
                    f"mongod ended with {self._process.returncode}; see mongod.log beside {self._folder}"
                )
            with pymongo.MongoClient(self.uri, serverSelectionTimeoutMS=500, connect=True) as client:
                try:
                    client.admin.command("ping")
                    return
                except pymongo.errors.PyMongoError:
                    time.sleep(0.1)
        raise RuntimeError("mongod does not answer.")

    def kill(self):
        """``kill -9``, unless somebody has done so."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self.wait()

    def wait(self, seconds=None):
        """Waits until it has ended. Returns whether it has."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self):
        if self._process.poll() is None:
            self._process.terminate()
        if not self.wait(20):
            self.kill()


def _end_with_parent():
    """Asks Linux to end it when whoever has started it was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _binary():
    # FiftyOne must not be imported here: it would read its configuration, which the campaign makes for others.
    import importlib.util

    package = importlib.util.find_spec("fiftyone")
    found = Path(package.origin).parent / "db" / "bin" / "mongod"
    if not found.is_file():
        raise RuntimeError(f"FiftyOne's mongod is not at {found}.")
    return str(found)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
