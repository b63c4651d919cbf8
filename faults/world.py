"""Everything a trial can change, in one temporary folder, and how it is put back: database, run folder, exports."""

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pymongo
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from .mongod import Mongod

REPOSITORY = Path(__file__).resolve().parent.parent
DATABASE = "faults"
PLACES = ("home", "tmp", "out")
"""Folders that trials write to: ELFS_HOME, TMPDIR, and the parent of exports."""

_RAW = CodecOptions(document_class=RawBSONDocument)


@dataclass(frozen=True)
class State:
    """``collections``: name -> (documents as BSON, in order; index information). ``files``: path below the world's
    root -> bytes, a :class:`Link`, or None for a folder. ``times``: path -> when a file was last changed, which is put
    back and not compared."""

    collections: dict
    files: dict
    times: dict = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Link:
    target: str


class World:
    """The folder, its MongoDB and the environment of the processes that work in it (a context manager)."""

    def __init__(self, keep=False):
        self.root = Path(tempfile.mkdtemp(prefix="elfs-faults-"))
        self._keep = keep
        for name in (*PLACES, "images", "plugins"):
            (self.root / name).mkdir()
        (self.root / "plugins" / "elfs").symlink_to(REPOSITORY)
        self.mongod = Mongod(self.root / "db")
        self._connect()
        self._mounted = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for place in list(self._mounted):
            self.unmount(place)
        self._client.close()
        self.mongod.stop()
        if self._keep:
            print(f"Kept: {self.root}")
        else:
            shutil.rmtree(self.root, ignore_errors=True)

    def _connect(self):
        self._client = pymongo.MongoClient(self.mongod.uri, serverSelectionTimeoutMS=20_000)

    @property
    def environment(self):
        """What a process needs so that it works here and nowhere else."""
        return {
            **os.environ,
            "FIFTYONE_DATABASE_URI": self.mongod.uri,
            "FIFTYONE_DATABASE_NAME": DATABASE,
            "FIFTYONE_DATABASE_VALIDATION": "false",
            "FIFTYONE_PLUGINS_DIR": str(self.root / "plugins"),
            "FIFTYONE_DO_NOT_TRACK": "true",
            "FIFTYONE_SHOW_PROGRESS_BARS": "false",
            "ELFS_HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "HF_HUB_OFFLINE": "1",
            # Small networks compute faster than their threads meet, and a forked process has no threads to lose.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def flush(self):
        """Has MongoDB write all to disk, its counts of documents too: after a kill those of a collection that is but a
        minute old would be wrong, and that is MongoDB's own affair."""
        self._client.admin.command("fsync")

    def recount(self):
        """Corrects MongoDB's counts of documents."""
        database = self._client[DATABASE]
        for name in database.list_collection_names():
            database.command("validate", name)

    def restart_mongod(self):
        """Starts MongoDB after it was killed."""
        self.mongod.start()
        self._client.close()
        self._connect()

    def read(self):
        """The present :class:`State`."""
        self._settle()
        database = self._client[DATABASE]
        collections = {}
        for name in database.list_collection_names():
            collection = database.get_collection(name, codec_options=_RAW)
            collections[name] = ([document.raw for document in collection.find()], database[name].index_information())
        paths = list(self._paths())
        times = {path: os.lstat(self.root / path).st_mtime_ns for path in paths}
        return State(collections, {path: _content(self.root / path) for path in paths}, times)

    def _settle(self, seconds=30):
        """Waits for what MongoDB still does for processes that are gone."""
        pipeline = [{"$currentOp": {}}, {"$match": {"active": True, "ns": {"$regex": f"^{DATABASE}\\."}}}]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and list(self._client.admin.aggregate(pipeline)):
            time.sleep(0.02)

    def restore(self, state):
        """Makes everything what it was."""
        database = self._client[DATABASE]
        now = self.read()
        for name in now.collections.keys() - state.collections.keys():
            database.drop_collection(name)
        for name, (documents, indexes) in state.collections.items():
            if now.collections.get(name) != (documents, indexes):
                _rewrite(database, name, documents, indexes)
        for path in sorted(now.files, reverse=True):  # what is in a folder comes before the folder
            if now.files[path] != state.files.get(path, ...):
                _remove(self.root / path)
        for path, content in sorted(state.files.items()):
            if now.files.get(path, ...) != content:
                _write(self.root / path, content)
        for path, content in state.files.items():
            if isinstance(content, bytes) and path in state.times:
                os.utime(self.root / path, ns=(state.times[path],) * 2)

    def _paths(self):
        for place in PLACES:
            for folder, folders, files in os.walk(self.root / place):
                for name in (*folders, *files):
                    yield os.path.relpath(os.path.join(folder, name), self.root)

    def empty(self, place):
        """Removes all that is in a place."""
        for path in (self.root / place).iterdir():
            _remove(path)

    def mount(self, place, kilobytes):
        """Puts a small file system where an empty place is. Returns whether it could."""
        command = ["mount", "-t", "tmpfs", "-o", f"size={int(kilobytes)}k", "tmpfs", str(self.root / place)]
        done = shutil.which("mount") and subprocess.run(command, capture_output=True).returncode == 0
        if done:
            self._mounted.append(place)
        return bool(done)

    def enlarge(self, place):
        """Gives a small file system room again."""
        subprocess.run(["mount", "-o", "remount,size=512m", str(self.root / place)], check=True, capture_output=True)

    def unmount(self, place):
        subprocess.run(["umount", "-l", str(self.root / place)], check=True, capture_output=True)
        self._mounted.remove(place)


def _rewrite(database, name, documents, indexes):
    database.drop_collection(name)
    if documents:
        raw = database.get_collection(name, codec_options=_RAW)
        raw.insert_many([RawBSONDocument(document) for document in documents])
    else:
        database.create_collection(name)
    for index, details in indexes.items():
        if index != "_id_":
            options = {option: value for option, value in details.items() if option not in ("key", "v", "ns")}
            database[name].create_index(details["key"], name=index, **options)


def _content(path):
    if path.is_symlink():
        return Link(os.readlink(path))
    return None if path.is_dir() else path.read_bytes()


def _remove(path):
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def _write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        path.mkdir(exist_ok=True)
    elif isinstance(content, Link):
        path.symlink_to(content.target)
    else:
        path.write_bytes(content)
