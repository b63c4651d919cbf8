import logging

import numpy as np
import pytest
import torch

from elfs_plugin.proxy.dynamics import Recorder
from elfs_plugin.training_checkpoint import (
    TrainingCheckpoint,
    moved,
    recorder_state,
    restore_recorder,
    training_fingerprint,
)


def test_a_saved_state_comes_back(tmp_path):
    path = tmp_path / "deep" / "training"
    assert TrainingCheckpoint(path, "key").load("cpu") is None
    TrainingCheckpoint(path, "key").save({"step": 3, "model": {"w": torch.arange(4)}, "none": None})
    state = TrainingCheckpoint(path, "key").load("cpu")
    assert state["step"] == 3 and state["model"]["w"].tolist() == [0, 1, 2, 3] and state["none"] is None
    assert TrainingCheckpoint(path, "other").load("cpu") is None
    assert [file.name for file in path.parent.iterdir()] == ["training"]
    TrainingCheckpoint(path, "key").remove()
    assert not path.exists()


def test_no_path_keeps_nothing():
    nowhere = TrainingCheckpoint(None, "key", seconds=0)
    nowhere.save({"step": 1})
    nowhere.remove()
    assert nowhere.load("cpu") is None and not nowhere.due


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_file_is_ignored(tmp_path, caplog, damage):
    path = tmp_path / "training"
    TrainingCheckpoint(path, "key").save({"step": 3, "w": torch.arange(1000)})
    path.write_bytes(path.read_bytes()[:2000] if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        assert TrainingCheckpoint(path, "key").load("cpu") is None
    assert "no usable checkpoint" in caplog.text


def test_a_failed_write_keeps_the_last_file_and_the_training(tmp_path, monkeypatch, caplog):
    path = tmp_path / "training"
    checkpoint = TrainingCheckpoint(path, "key")
    checkpoint.save({"step": 1})

    def full(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with caplog.at_level(logging.WARNING):
        checkpoint.save({"step": 2})
        checkpoint.save({"step": 3})
    assert checkpoint.load("cpu")["step"] == 1
    assert caplog.text.count("No space left") == 1 and [file.name for file in tmp_path.iterdir()] == ["training"]


def test_timed_writes(tmp_path):
    assert TrainingCheckpoint(tmp_path / "a", "key", seconds=0).due
    assert not TrainingCheckpoint(tmp_path / "a", "key", seconds=1000).due


def test_fingerprints_tell_trainings_apart(monkeypatch):
    images = np.arange(4 * 3 * 8 * 8, dtype=np.uint8).reshape(4, 3, 8, 8)
    base = training_fingerprint(images, [0, 1], 7)
    assert base == training_fingerprint(images.copy(), [0, 1], 7)
    changed = images.copy()
    changed[2, 0, 0, 0] ^= 1
    others = [(changed, [0, 1], 7), (images, [1, 1], 7), (images, [0, 1], 8), (images[:3], [0, 1], 7)]
    assert base not in {training_fingerprint(*parts) for parts in others}
    monkeypatch.setattr("elfs_plugin.training_checkpoint.WHOLE_BYTES", 10)
    monkeypatch.setattr("elfs_plugin.training_checkpoint.SAMPLED_ROWS", 2)
    ends = images.copy()
    ends[0] += 1
    assert training_fingerprint(images) == training_fingerprint(changed) != training_fingerprint(ends)


def test_a_recorder_goes_on_where_it_was_kept():
    rng = np.random.default_rng(0)
    batches = [(np.arange(5), rng.normal(size=(5, 3)), np.arange(5) % 3) for _ in range(6)]
    whole, first, second = Recorder(5), Recorder(5), Recorder(5)
    for batch in batches:
        whole.update(*batch)
    for batch in batches[:4]:
        first.update(*batch)
    restore_recorder(second, recorder_state(first))
    for batch in batches[4:]:
        second.update(*batch)
    for name, value in vars(whole.finalize()).items():
        assert np.array_equal(value, vars(second.finalize())[name]), name


def test_a_recorder_with_its_own_state_is_asked():
    class Own:
        value = 1

        def state(self):
            return {"own": self.value}

        def restore(self, state):
            self.value = state["own"]

    kept, fresh = Own(), Own()
    kept.value = 5
    restore_recorder(fresh, recorder_state(kept))
    assert fresh.value == 5


def test_moved_reaches_into_containers():
    meta = moved({"a": [torch.ones(2), 3], "b": (None, torch.ones(1)), "c": torch.device("cpu")}, "meta")
    assert meta["a"][0].device.type == "meta" and meta["a"][1] == 3
    assert meta["b"][0] is None and meta["b"][1].device.type == "meta" and meta["c"] == torch.device("meta")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_lack_of_memory_does_not_throw_a_training_away(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    TrainingCheckpoint(tmp_path / "a", "key").save({"step": 1})
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(type(error)):
        TrainingCheckpoint(tmp_path / "a", "key").load("cpu")
