import contextlib
import errno
import os

import numpy as np
import pytest
import torch

from elfs_plugin import checkpoints, files
from elfs_plugin.checkpoints import StageStore, fingerprint
from elfs_plugin.training_checkpoint import TrainingCheckpoint


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

    monkeypatch.setattr(*((checkpoints, "_write") if where == "write" else (os, "replace")), crash)
    store.save("stage", "new", {"a": np.arange(5)})
    assert len(store.problems) == 1 and "(the disk is full)" in store.problems[0]
    assert store.load("stage", "old")["a"].tolist() == [0, 1, 2]
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["stage.npz"]


def test_without_a_folder_nothing_is_kept():
    store = StageStore(None)
    store.save("stage", "key", {"a": np.arange(3)})
    assert store.load("stage", "key") is None


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


class Full:
    """A file on a disk with room for ``bytes_left`` bytes."""

    def __init__(self, file, bytes_left, number=errno.ENOSPC):
        self._file, self._left, self._number = file, bytes_left, number

    def write(self, data):
        if len(data) > self._left:
            raise OSError(self._number, os.strerror(self._number))
        self._left -= len(data)
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.fixture
def full_disk(monkeypatch):
    """A function: every file opened by descriptor from now on has room for so many bytes."""
    true_open = open

    def fill(bytes_left, number=errno.ENOSPC):
        @contextlib.contextmanager
        def closing(file, *args, **kwargs):
            with true_open(file, *args, **kwargs) as opened:
                yield Full(opened, bytes_left, number) if isinstance(file, int) else opened

        monkeypatch.setattr(files, "open", closing, raising=False)

    return fill


@pytest.mark.parametrize("room", [0, 1000, 5000])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_costs_the_kept_stage_and_not_the_job(tmp_path, full_disk, caplog, room, number):
    told = []
    store = StageStore(tmp_path / "run", told.append)
    store.save("stage", "old", {"a": np.arange(3)})
    full_disk(room, number)
    store.save("stage", "new", {"a": np.arange(5000)})
    store.save("other", "new", {"a": np.arange(5000)})
    assert store.load("stage", "old")["a"].tolist() == [0, 1, 2]
    assert os.listdir(tmp_path / "run") == ["stage.npz"]
    assert told == store.problems and len(told) == 1
    assert f"The disk of {tmp_path / 'run'} " in told[0] and "ELFS_HOME" in told[0]
    assert caplog.text.count("cannot be kept") == 1


def test_a_training_checkpoint_and_a_stage_report_one_problem_together(tmp_path, full_disk, caplog):
    told = []
    store = StageStore(tmp_path / "run", told.append)
    full_disk(500)
    training = TrainingCheckpoint(store.file("pseudo_labels.training"), "key")
    training.save({"w": torch.arange(5000)})
    TrainingCheckpoint(training.beside("0-1"), "key").save({"w": torch.arange(5000)})
    store.save("stage", "key", {"a": np.arange(5000)})
    assert len(told) == 1 and caplog.text.count("cannot be kept") == 1
    assert os.listdir(tmp_path / "run") == [] and training.load("cpu") is None


def test_a_folder_that_is_none_costs_nothing(tmp_path):
    (tmp_path / "file").write_text("the user's")
    told = []
    store = StageStore(tmp_path / "file" / "run", told.append)
    assert store.load("stage", "key") is None and told == []
    store.save("stage", "key", {"a": np.arange(3)})
    TrainingCheckpoint(store.file("training"), "key").save({"step": 1})
    assert store.load("stage", "key") is None and len(told) == 1
    assert (tmp_path / "file").read_text() == "the user's"


def test_a_folder_that_cannot_be_written_is_read_all_the_same(open_folder, without_rights):
    folder = open_folder / "run"
    StageStore(folder).save("stage", "key", {"a": np.arange(3)})
    TrainingCheckpoint(folder / "training", "key").save({"step": 1})
    for file in folder.iterdir():
        file.chmod(0o644)
    folder.chmod(0o555)
    with without_rights():
        told = []
        store = StageStore(folder, told.append)
        assert store.load("stage", "key")["a"].tolist() == [0, 1, 2] and told == []
        store.save("stage", "new", {"a": np.arange(5)})
        TrainingCheckpoint(store.file("training"), "key").save({"step": 2})
        TrainingCheckpoint(store.file("training"), "key").remove()
        assert len(told) == 1 and "Permission denied" in told[0]
    assert sorted(os.listdir(folder)) == ["stage.npz", "training"]
    folder.chmod(0o000)
    with without_rights():
        closed = StageStore(folder)
        assert closed.load("stage", "key") is None and len(closed.problems) == 1
        assert TrainingCheckpoint(folder / "training", "key").load("cpu") is None


def test_an_error_that_is_not_the_disk_s_is_raised(store):
    with pytest.raises(ValueError, match="odd"), store.optional():
        raise ValueError("odd")
    assert store.problems == []


def test_a_large_array_is_mapped_and_its_damage_seen(store, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "MAPPED_BYTES", 1000)
    arrays = {"large": np.arange(600, dtype=np.float32).reshape(200, 3), "small": np.arange(3)}
    store.save("stage", "key", arrays)
    loaded = store.load("stage", "key")
    assert isinstance(loaded["large"], np.memmap) and not isinstance(loaded["small"], np.memmap)
    assert loaded["large"].flags.aligned
    assert all(np.array_equal(loaded[name], arrays[name]) for name in arrays)
    loaded["large"][0] = 9  # is of the reader alone
    assert np.array_equal(store.load("stage", "key")["large"], arrays["large"])
    path = tmp_path / "run" / "stage.npz"
    data = bytearray(path.read_bytes())
    data[data.index(np.float32(300).tobytes())] ^= 255
    path.write_bytes(data)
    assert store.load("stage", "key") is None


@pytest.mark.parametrize("length", range(1, 9))
def test_mapped_arrays_are_aligned_whatever_their_names(store, tmp_path, monkeypatch, length):
    monkeypatch.setattr(checkpoints, "MAPPED_BYTES", 1000)
    arrays = {f"{kind}{'é' * length}": np.arange(600).astype(kind) for kind in ("float32", "float64", "int16")}
    arrays["columns"] = np.asfortranarray(np.arange(600.0).reshape(20, 30))
    store.save("stage", "key", arrays)
    loaded = store.load("stage", "key")
    for name, array in arrays.items():
        assert isinstance(loaded[name], np.memmap) and loaded[name].ctypes.data % 64 == 0
        assert np.array_equal(loaded[name], array) and loaded[name].dtype == array.dtype
    assert loaded["columns"].flags.f_contiguous
    with np.load(tmp_path / "run" / "stage.npz") as file:  # as any other archive
        assert all(np.array_equal(file[name], array) for name, array in arrays.items())


@pytest.mark.parametrize("length", range(1, 9))
def test_archives_of_earlier_versions_are_still_read(store, tmp_path, monkeypatch, length):
    monkeypatch.setattr(checkpoints, "MAPPED_BYTES", 1000)
    (tmp_path / "run").mkdir()
    array = np.arange(600, dtype=np.float64)
    np.savez(tmp_path / "run" / "stage.npz", **{"a" * length: array}, fingerprint=np.array("key"))
    (loaded,) = store.load("stage", "key").values()
    assert np.array_equal(loaded, array) and loaded.flags.aligned
