import numpy as np
import pytest

from elfs_plugin import scratch


@pytest.fixture()
def small_memory(monkeypatch):
    monkeypatch.setattr(scratch, "IN_MEMORY", 1000)
    monkeypatch.setattr(scratch, "ROWS", 7)


def test_only_large_arrays_are_mapped(small_memory):
    assert isinstance(scratch.empty((251, 1)), np.memmap) and not isinstance(scratch.empty((250, 1)), np.memmap)
    assert isinstance(scratch.zeros((126, 1), np.int64), np.memmap)
    assert scratch.zeros((600, 2), np.int32).sum() == 0 == scratch.zeros((2, 2)).sum()


def test_blocks_cover_all_rows_once():
    assert [range(10)[block] for block in scratch.blocks(10, 4)] == [range(4), range(4, 8), range(8, 10)]
    assert list(scratch.blocks(0)) == []


@pytest.mark.parametrize("rows", [np.arange(399, -1, -1), np.arange(400) % 3 == 0], ids=["indices", "mask"])
def test_rows_are_taken_as_by_numpy(rows, small_memory):
    array = np.random.default_rng(0).normal(size=(400, 5))
    found = scratch.taken(array, rows)
    assert isinstance(found, np.memmap) and (found == array[rows]).all()
    assert (scratch.taken(array[:10], np.array([3, 1])) == array[[3, 1]]).all()


def test_float32_is_not_copied_and_others_are_converted(small_memory):
    single = np.ones((400, 5), dtype=np.float32)
    assert scratch.as_float32(single) is single or np.shares_memory(scratch.as_float32(single), single)
    half = np.arange(2000, dtype=np.float16).reshape(400, 5)
    found = scratch.as_float32(half)
    assert isinstance(found, np.memmap) and found.dtype == np.float32 and (found == half).all()


def test_without_room_on_the_disk_memory_takes_it(small_memory, monkeypatch, caplog):
    def full(dtype, shape):
        raise OSError(28, "No space left on device", "/full")

    monkeypatch.setattr(scratch, "reserved_temporary", full)
    found = scratch.empty((600, 2))
    assert found.shape == (600, 2) and not isinstance(found, np.memmap)
    assert "/full" in caplog.text and "held in memory" in caplog.text
