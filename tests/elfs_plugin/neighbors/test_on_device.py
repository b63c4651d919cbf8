"""The search of a GPU, on the CPU in the GPU's place; and on a GPU where there is one."""

import numpy as np
import pytest
import torch

from elfs_plugin.neighbors import graph as graphs
from elfs_plugin.neighbors import on_device
from elfs_plugin.neighbors.graph import exact_is_quick, knn_graph
from elfs_plugin.neighbors.vectors import normalize

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def random_vectors(n, dimensions=12, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dimensions)).astype(np.float32)


def vectors_with_copies(n=400, different=37):
    """Rows of which each occurs about ten times, in random order."""
    return random_vectors(different)[np.random.default_rng(1).integers(different, size=n)]


def with_and_without(vectors, k, monkeypatch):
    usual = knn_graph(vectors, k, method="exact", device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(graphs, "_exact_in_threads", lambda *given: graphs._exact_on(CPU, *given))
        return usual, knn_graph(vectors, k, method="exact", device="cpu")


@pytest.mark.parametrize("k", [1, 7, 50])
@pytest.mark.parametrize("columns", [64, 1 << 20])
def test_the_same_neighbours_as_the_cpu(k, columns, monkeypatch):
    monkeypatch.setattr(on_device, "COLUMNS", columns)
    monkeypatch.setattr(on_device, "MOST_ROWS", 90)
    usual, found = with_and_without(random_vectors(300), k, monkeypatch)
    assert (usual.indices == found.indices).all() and found.method == "exact"
    np.testing.assert_allclose(found.similarities, usual.similarities, atol=1e-6)


@pytest.mark.parametrize("k", [1, 5, 15, 30, 120])
@pytest.mark.parametrize("columns", [50, 1 << 20])
def test_ties_are_broken_as_on_the_cpu(k, columns, monkeypatch):
    # Along an axis every product is exact, so that equal similarities are equal on both ways.
    monkeypatch.setattr(on_device, "COLUMNS", columns)
    axes = np.eye(9, dtype=np.float32)[np.random.default_rng(0).integers(9, size=200)]
    usual, found = with_and_without(axes, k, monkeypatch)
    assert (usual.similarities == found.similarities).all()
    assert (usual.indices == found.indices).all()


def test_copies_are_each_others_neighbours(monkeypatch):
    usual, found = with_and_without(vectors_with_copies(), 5, monkeypatch)
    np.testing.assert_allclose(found.similarities, usual.similarities, atol=1e-6)
    assert (found.indices != np.arange(400)[:, None]).all()
    assert all(len(set(row)) == 5 for row in found.indices.tolist())


def full_above(rows, error=torch.cuda.OutOfMemoryError):
    """A GPU whose memory suffices for so many rows at once."""
    block, sizes = on_device._block, []

    def limited(queries, base, count):
        sizes.append(len(queries))
        if len(queries) > rows:
            raise error("CUDA out of memory. Tried to allocate 2 GiB")
        return block(queries, base, count)

    return limited, sizes


def test_a_full_gpu_takes_smaller_blocks(monkeypatch):
    limited, sizes = full_above(60)
    monkeypatch.setattr(on_device, "_block", limited)
    usual, found = with_and_without(random_vectors(250), 4, monkeypatch)
    assert (usual.indices == found.indices).all()
    assert sizes == [250] * 5 + [128, 64] + [32] * 7 + [26]


def test_the_cpu_is_the_last_resort_and_is_said_once(monkeypatch, caplog):
    limited, sizes = full_above(0)
    monkeypatch.setattr(on_device, "_block", limited)
    vectors = random_vectors(100)
    usual = knn_graph(vectors, 4, device="cpu")
    monkeypatch.setattr(graphs, "resolve_device", lambda device: torch.device("meta"))
    monkeypatch.setattr(graphs, "exact_is_quick", lambda *given: True)
    monkeypatch.setattr(on_device, "nearest", lambda unit, k, device, real=on_device.nearest: real(unit, k, CPU))
    found = knn_graph(vectors, 4, device="cuda")
    assert (found.indices == usual.indices).all() and sizes
    assert caplog.text.count("the CPU finds them") == 1


def test_blocks_follow_the_free_memory(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setattr(on_device, "free_bytes", lambda device, default: 40 << 30)
    assert on_device.block_rows(50_000, gpu) == 4096
    assert 2500 < on_device.block_rows(1_000_000, gpu) < 4096
    assert on_device.block_rows(10_000_000, gpu) == on_device.block_rows(on_device.COLUMNS, gpu)
    monkeypatch.setattr(on_device, "free_bytes", lambda device, default: 1 << 20)
    assert on_device.block_rows(1_000_000, gpu) == on_device.FEWEST_ROWS


def test_a_gpu_is_exact_for_more_points(monkeypatch):
    class Properties:
        total_memory = 80 << 30
        multi_processor_count = 132

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    assert exact_is_quick(900_000, 512, "cuda") and not exact_is_quick(900_000, 512, "cpu")
    assert not exact_is_quick(3_000_000, 512, "cuda")
    Properties.total_memory = 2 << 30
    assert not exact_is_quick(900_000, 512, "cuda") and exact_is_quick(100_000, 512, "cuda")


@pytest.mark.parametrize("allowed", ["highest", "high"])
def test_tf32_is_off_meanwhile(allowed):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(allowed)
    try:
        with on_device.full_float32():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == allowed
    finally:
        torch.set_float32_matmul_precision(before)


@needs_gpu
def test_a_gpu_agrees_with_the_cpu():
    vectors = random_vectors(5000, 64)
    usual, found = (knn_graph(vectors, 20, method="exact", device=device) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(found.similarities, usual.similarities, atol=1e-5)
    assert (found.indices == usual.indices).mean() > 0.999


def test_unit_vectors_are_what_it_takes():
    unit = normalize(random_vectors(40))
    for rows, similarities, found in on_device.nearest(unit, 40, CPU):
        assert (found[:, 0] == rows).all()
        np.testing.assert_allclose(np.sort(similarities)[:, ::-1], np.sort(unit @ unit.T)[rows][:, ::-1], atol=1e-6)
