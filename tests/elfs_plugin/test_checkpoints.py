import os

import numpy as np
import pytest

from elfs_plugin import checkpoints
from elfs_plugin.checkpoints import StageStore, fingerprint


@pytest.fixture
def store(tmp_path):
    return StageStore(tmp_path / "run")


def test_what_was_saved_comes_back(store):
    arrays = {"a": np.arange(6).reshape(2, 3), "text": np.array("reason"), "flags": np.array([True, False])}
    store.save("stage", "key", arrays)
    loaded = store.load("stage", "key")
    assert set(loaded) == set(arrays)
    for name, value in arrays.items():
        assert loaded[name].dtype == value.dtype and np.array_equal(loaded[name], value)


def test_absent_other_stage_and_other_fingerprint(store):
    assert store.load("stage", "key") is None
    store.save("stage", "key", {"a": np.arange(3)})
    assert store.load("stage", "another") is None
    assert store.load("other", "key") is None
    assert store.load("stage", "key") is not None


def test_a_stage_is_replaced(store):
    store.save("stage", "old", {"a": np.arange(3)})
    store.save("stage", "new", {"a": np.arange(5)})
    assert store.load("stage", "old") is None
    assert len(store.load("stage", "new")["a"]) == 5


@pytest.mark.parametrize("damage", ["truncated", "flipped", "garbage", "empty", "foreign", "unmarked"])
def test_a_damaged_file_counts_as_absent(store, tmp_path, damage):
    store.save("stage", "key", {"a": np.arange(1000)})
    path = tmp_path / "run" / "stage.npz"
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
    elif damage == "garbage":
        path.write_bytes(b"this is no archive")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        np.savez(path, fingerprint=np.array("key"), a=np.array([{}], dtype=object))  # needs pickle, which is refused
    else:
        np.savez(path, a=np.arange(3))
    assert store.load("stage", "key") is None
    store.save("stage", "key", {"a": np.arange(4)})
    assert store.load("stage", "key")["a"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("where", ["write", "rename"])
def test_a_crash_while_saving_leaves_the_old_stage_whole(store, tmp_path, monkeypatch, where):
    store.save("stage", "old", {"a": np.arange(3)})

    def crash(*args, **kwargs):
        if where == "write":
            args[0].write(b"half of it")
        raise OSError("the disk is full")

    monkeypatch.setattr(*((checkpoints.np, "savez") if where == "write" else (os, "replace")), crash)
    with pytest.raises(OSError, match="disk is full"):
        store.save("stage", "new", {"a": np.arange(5)})
    assert store.load("stage", "old")["a"].tolist() == [0, 1, 2]
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["stage.npz"]


def test_clear_removes_everything(store, tmp_path):
    store.save("stage", "key", {"a": np.arange(3)})
    store.clear()
    assert not (tmp_path / "run").exists()
    store.clear()


def test_without_a_folder_nothing_is_kept():
    store = StageStore(None)
    store.save("stage", "key", {"a": np.arange(3)})
    assert store.load("stage", "key") is None
    store.clear()


def test_equal_inputs_have_equal_fingerprints():
    def make():
        return fingerprint(np.arange(5.0), "text", {"b": 1, "a": [1, None, 2.5]}, 7)

    assert make() == make()
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    matrix = np.arange(12).reshape(3, 4)
    assert fingerprint(matrix[:, ::2]) == fingerprint(matrix[:, ::2].copy())


def test_any_difference_changes_the_fingerprint():
    array = np.arange(6.0)
    changed = array.copy()
    changed[3] += 1e-12
    variants = [
        (array,),
        (changed,),
        (array.astype(np.float32),),
        (array.reshape(2, 3),),
        (array, 1),
        (array, "1"),
        (array, None),
        (1, array),
        ("ab", "c"),
        ("a", "bc"),
        ({"a": 1},),
        ({"a": 2},),
    ]
    assert len({fingerprint(*parts) for parts in variants}) == len(variants)


def test_long_lists_of_objects_count_to_the_last_element():
    ids = np.array([str(i) for i in range(3000)], dtype=object)
    other = ids.copy()
    other[1500] = "another"
    assert fingerprint(ids) != fingerprint(other)
    assert fingerprint(ids) == fingerprint(ids.copy())
