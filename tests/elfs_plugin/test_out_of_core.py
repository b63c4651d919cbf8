"""The whole way with arrays that are too large for memory by a limit that is set low."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.memory import formula
from elfs_plugin import scratch
from elfs_plugin.clustering.pseudo_labels import ClusteringConfig, cluster, standardize
from elfs_plugin.encoders.embed import validate_vectors
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.neighbors.neighbor_graph import NeighborGraph
from elfs_plugin.neighbors.vectors import normalize
from elfs_plugin.pipeline import run_elfs
from elfs_plugin.proxy.train import ProxyConfig, train_proxy
from elfs_plugin.selectors import Pool, select
from tests.few_steps import candidate_steps

ROOT = Path(__file__).resolve().parent.parent.parent
CLUSTERING = ClusteringConfig(
    heads=2, epochs=1, max_steps=4, warm_start_steps=4, components=4, whiten=True, neighbor_share=0.5, spectral=True
)
BRIEF = ClusteringConfig(
    heads=2, epochs=1, max_steps=2, warm_start_steps=2, components=64, whiten=True, neighbor_share=0.5
)
SIZES = 60_000, 160_000
MARGIN = 30e6


@pytest.fixture()
def vectors():
    rng = np.random.default_rng(0)
    return (4 * np.eye(6)[np.arange(600) % 3] + rng.normal(size=(600, 6))).astype(np.float32)


@pytest.fixture()
def small_memory(monkeypatch):
    """Everything above 1,000 bytes is large; blocks of 128 rows."""
    monkeypatch.setattr(scratch, "IN_MEMORY", 1000)
    monkeypatch.setattr(scratch, "ROWS", 128)
    made = []
    temporary = scratch.reserved_temporary

    def counted(dtype, shape):
        made.append(tuple(shape))
        return temporary(dtype, shape)

    monkeypatch.setattr(scratch, "reserved_temporary", counted)
    return made


def walk(vectors, method):
    with pytest.MonkeyPatch.context() as patch:
        candidate_steps(8, replace=patch.setattr)
        return run_elfs(
            vectors,
            3,
            60,
            preset=CLUSTERING,
            proxy=ProxyConfig.mlp(epochs=2, batch_size=64, hidden=16),
            grid=[0.0, 0.2],
            repeats=1,
            device="cpu",
            method=method,
        )


@pytest.mark.parametrize("method", ["elfs", "graph_coverage", "k_medoids"])
def test_a_file_gives_the_coreset_that_memory_gives(method, vectors, tmp_path, small_memory):
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = walk(np.load(tmp_path / "vectors.npy", mmap_mode="r"), method)
    assert {(600, 6), (600, 4), (600, 16), (600, 16, 10)} <= set(small_memory)
    small_memory.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "IN_MEMORY", 1 << 30)
        patch.setattr(scratch, "ROWS", 1 << 16)
        whole = walk(vectors, method)
    assert small_memory == []
    assert mapped.coreset.tolist() == whole.coreset.tolist()
    np.testing.assert_allclose(mapped.dynamics.aum, whole.dynamics.aum, atol=1e-5)


def test_a_large_matrix_is_taken_as_it_is(vectors, tmp_path, small_memory):
    np.save(tmp_path / "vectors.npy", vectors)
    found = validate_vectors(np.load(tmp_path / "vectors.npy", mmap_mode="r"))
    assert not found.vectors.flags.writeable and found.ok.all()
    vectors[3], vectors[500, 2] = np.nan, np.inf
    found = validate_vectors(vectors)
    assert sorted(found.failures) == [3, 500] and len(found.vectors) == 598
    assert set(found.failures.values()) == set(validate_vectors([*vectors]).failures.values())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "IN_MEMORY", 1 << 30)
        assert (validate_vectors(vectors).vectors == found.vectors).all()


def test_large_arrays_hold_what_small_ones_hold(vectors, small_memory):
    found = normalize(vectors), standardize(vectors), knn_graph(vectors, 5).indices
    assert all(isinstance(array, np.memmap) for array in found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "IN_MEMORY", 1 << 30)
        expected = normalize(vectors), standardize(vectors), knn_graph(vectors, 5).indices
    assert (found[0] == expected[0]).all() and (found[2] == expected[2]).all()
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


def watched(stage, n):
    """Private bytes that this process has at most while a stage works on n vectors of 128 dimensions."""
    import torch

    from benchmarks.memory import Watched

    rng = np.random.default_rng(0)
    vectors = scratch.zeros((n, 128))
    for rows in scratch.blocks(n):
        vectors[rows] = rng.standard_normal((rows.stop - rows.start, 128), dtype=np.float32)
    graph = NeighborGraph(scratch.zeros((n, 50), np.int32), scratch.zeros((n, 50)))
    for rows in scratch.blocks(n):
        graph.indices[rows] = (np.arange(rows.start, rows.stop)[:, None] + np.arange(1, 51)) % n  # a ring
        graph.similarities[rows] = 0.5
    labels = rng.integers(10, size=n).astype(np.int32)
    torch.set_num_threads(2)
    with Watched() as memory:
        {
            "pseudo_labels": lambda: cluster(vectors, graph, 10, config=BRIEF, device="cpu"),
            "dynamics": lambda: train_proxy(
                vectors, labels, num_classes=10, config=ProxyConfig.mlp(epochs=1, hidden=16), device="cpu"
            ),
            "choice": lambda: select("graph_coverage", Pool(np.arange(n), neighbors=graph), 50),
        }[stage]()
        return memory.reset()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="private memory is read from Linux")
@pytest.mark.parametrize("stage", ["pseudo_labels", "dynamics", "choice"])
def test_a_stage_takes_the_memory_that_its_formula_says(stage):
    """What 100,000 vectors more add, every array above 1 MB mapped: a copy of theirs in memory would be 51 MB, what the
    proxy records of them 142 MB."""
    code = (
        "import json, sys\n"
        "from elfs_plugin import scratch\n"
        "from tests.elfs_plugin import test_out_of_core as test\n"
        "scratch.IN_MEMORY, scratch.ROWS = 1 << 20, 1 << 13\n"
        "print(json.dumps([test.watched(sys.argv[1], n) for n in test.SIZES]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, stage],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    less, more = json.loads(done.stdout.splitlines()[-1])
    print(stage, less, more)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "IN_MEMORY", 1 << 20)
        said = [formula(stage, n, 128, 50, 10, 50, 30) for n in SIZES]
    assert more - less < said[1] - said[0] + MARGIN
