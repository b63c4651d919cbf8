"""What needs a driver of its own: one that is killed, one that knows the library by another name, one that waits."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from elfs_plugin.encoders.embed import embed_images
from tests.elfs_plugin.engine import workers

pytestmark = pytest.mark.ray

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _small(small):
    pytest.importorskip("ray")


def driver(code, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


EMBEDS = """
import json, sys
import ray
from elfs_plugin.encoders.embed import embed_images
from elfs_plugin.engine.choose import using
from tests.elfs_plugin.engine import workers
ray.cloudpickle.register_pickle_by_value(workers)
folder, kept, paths = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
with using("ray"):
    embed_images(paths, workers.Means(folder, seconds=0.05), kept=kept)
"""


def test_a_driver_that_was_killed_goes_on_from_its_blocks(tmp_path, images, alive, until, pids):
    before, kept, after = (tmp_path / name for name in ("before", "blocks", "after"))
    before.mkdir()
    after.mkdir()
    paths = [str(path) for path in images]
    running = driver(EMBEDS, before, kept, json.dumps(paths))
    until(lambda: list(kept.glob("*.npz")), 120)
    running.send_signal(signal.SIGKILL)
    running.wait()
    until(lambda: not any(alive(pid) for pid in pids(before)))
    blocks = len(list(kept.glob("*.npz")))
    assert 1 <= blocks <= 3
    found = embed_images(paths, workers.Means(after), kept=kept)
    encoded = sum(int(line) for file in after.iterdir() for line in file.read_text().split())
    assert encoded <= 599 - 88 * blocks
    assert np.array_equal(found.vectors, embed_images(paths, workers.Means(tmp_path)).vectors)


OTHER_NAME = """
import importlib, json, sys, types
import numpy as np
name = "fiftyone.plugins.orgs.elfs.coreset"
parts = name.split(".")
for end in range(1, len(parts) + 1):
    module = types.ModuleType(".".join(parts[:end]))
    module.__path__ = [sys.argv[1]] if end == len(parts) else []
    sys.modules[module.__name__] = module
library = lambda module: importlib.import_module(f"{name}.elfs_plugin.{module}")
import ray
from tests.elfs_plugin.engine import workers
ray.cloudpickle.register_pickle_by_value(workers)
graph, Piece, silent = library("neighbors.graph"), library("engine.base").Piece, library("progress").silent
vectors = np.random.default_rng(0).normal(size=(1500, 8)).astype(np.float32)
with library("engine.choose").using("ray") as engine:
    engine._connect()
    engine._cluster.joined = True  # the workers get a copy, as those of another machine do
    ((_, loaded),) = engine.run([Piece(workers.what_is_loaded, (graph.nearest_rows,))], silent, threads=1)
    theirs = graph.knn_graph(vectors, 5)
ours = graph.knn_graph(vectors, 5)
print(json.dumps([loaded, bool(np.array_equal(ours.indices, theirs.indices)), "elfs_plugin" in sys.modules]))
"""


def test_the_library_goes_to_workers_under_the_name_that_fiftyone_gives_it(tmp_path):
    with tempfile.TemporaryDirectory() as short:  # names of sockets have few characters
        done = driver(OTHER_NAME, ROOT, TMPDIR=str(tmp_path), RAY_TMPDIR=short)
        output, _ = done.communicate(timeout=200)
    assert done.returncode == 0
    (name, fiftyone, file), equal, other = json.loads(output.splitlines()[-1])
    assert name == "fiftyone.plugins.orgs.elfs.coreset.elfs_plugin.neighbors.graph"
    assert fiftyone is None and not other  # FiftyOne itself was not loaded, nor the library under its own name
    assert Path(file).is_relative_to(tmp_path) and not list(tmp_path.rglob("runs/*.py"))
    assert equal


SILENT = """
import os, socket
from elfs_plugin.engine import cluster
from elfs_plugin.engine.choose import using
from elfs_plugin.errors import InvalidInput
cluster.ANSWERS_WITHIN = 2.0
with socket.socket() as there:
    there.bind(("127.0.0.1", 0))
    there.listen()
    try:
        with using("ray", f"127.0.0.1:{there.getsockname()[1]}") as engine:
            engine.share(1)
    except InvalidInput as error:
        print(error, flush=True)
os._exit(0)
"""


def test_an_address_that_takes_the_call_and_says_nothing_is_given_up():
    output, _ = driver(SILENT).communicate(timeout=100)
    assert "does not answer within 2 seconds" in output
