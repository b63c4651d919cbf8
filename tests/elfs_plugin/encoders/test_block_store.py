import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

from elfs_plugin.checkpoints import KeptFile
from elfs_plugin.encoders import block_store, embed
from elfs_plugin.encoders.block_store import BlockStore, remove_blocks
from elfs_plugin.encoders.embed import embed_images
from elfs_plugin.errors import Cancelled, InvalidInput
from elfs_plugin.progress import Reporter
from elfs_plugin.stages import Stages, stage_weights

FOUND = [(4, np.array([1, 2], np.float32)), (5, "file not found"), (6, np.array([3, 4], np.float32))]
SIZE = 16


@pytest.fixture
def paths(tmp_path):
    """70 images of one colour each; two files are none."""
    found = []
    for index in range(70):
        found.append(tmp_path / f"{index:02d}.png")
        Image.new("RGB", (8, 8), (index, 2 * index, 250 - index)).save(found[-1])
    for index in (3, 40):
        found[index].write_text("no image")
    return found


class Counting:
    """The mean colour; counts what it is given."""

    batch_size = 5
    identity = "mean colour"

    def __init__(self):
        self.count = 0

    def transform(self, image):
        return np.asarray(image, dtype=np.float32).mean(axis=(0, 1))

    def encode(self, batch):
        self.count += len(batch)
        return np.stack(batch)


def same(one, other):
    return len(one) == len(other) and all(
        a == c and (b == d if isinstance(b, str) else np.array_equal(b, d)) for (a, b), (c, d) in zip(one, other)
    )


def test_a_block_comes_back(tmp_path, paths):
    store = BlockStore(tmp_path / "kept", paths, "encoder")
    assert store.count(range(4, 7)) is None and store.load(range(4, 7)) is None
    store.save(range(4, 7), FOUND)
    again = BlockStore(tmp_path / "kept", paths, "encoder")
    assert again.count(range(4, 7)) == 2 and same(again.load(range(4, 7)), FOUND)
    assert again.count(range(8, 11)) is None
    only_failures = [(8, "no"), (9, "no")]
    store.save(range(8, 10), only_failures)
    assert store.load(range(8, 10)) == only_failures and store.count(range(8, 10)) == 0


def test_a_block_of_other_images_or_of_another_encoder_is_not_taken(tmp_path, paths):
    BlockStore(tmp_path / "kept", paths, "encoder").save(range(4, 7), FOUND)
    assert BlockStore(tmp_path / "kept", paths, "another").count(range(4, 7)) is None
    assert BlockStore(tmp_path / "kept", paths[::-1], "encoder").count(range(4, 7)) is None
    assert BlockStore(tmp_path / "kept", paths, "encoder").count(range(4, 6)) is None
    Image.new("RGB", (9, 9)).save(paths[6])
    assert BlockStore(tmp_path / "kept", paths, "encoder").count(range(4, 7)) is None


def test_a_block_by_another_engine_is_not_taken(tmp_path, paths):
    store = BlockStore(tmp_path / "kept", paths, "encoder")
    store.inference = "float32 by OpenVINO 1"
    store.save(range(4, 7), FOUND)
    again = BlockStore(tmp_path / "kept", paths, "encoder")
    assert again.count(range(4, 7)) == 2 and again.inference == "float32 by OpenVINO 1"
    again.inference = "float32 by PyTorch"
    assert again.count(range(4, 7)) is None and again.load(range(4, 7)) is None
    again.inference = "bfloat16 by OpenVINO 1"
    assert again.count(range(4, 7)) == 2


def test_a_block_that_says_nothing_of_its_engine_is_by_pytorch(tmp_path, paths):
    store = BlockStore(tmp_path / "kept", paths, "encoder")
    store.save(range(4, 7), FOUND)
    (file,) = (tmp_path / "kept").iterdir()
    with np.load(file) as found:
        earlier = {name: found[name] for name in found if name != "inference"}
    np.savez(file, **earlier)
    store.inference = "float32 by PyTorch"
    assert store.count(range(4, 7)) == 2
    store.inference = "float32 by OpenVINO 1"
    assert store.count(range(4, 7)) is None


class Engines(Counting):
    """Computes by the first of ``engines``, or by the one that has computed what is kept, where it is among them."""

    def __init__(self, *engines):
        super().__init__()
        self.engines, self.inference, self.plans = engines, "float32 by PyTorch", []

    def plan(self, count, kept):
        self.plans.append((count, kept))
        self.inference = kept if kept in self.engines else self.engines[0]

    def settle(self, values, smaller):
        pass


@pytest.mark.parametrize("there", [True, False])
def test_what_is_embedded_after_a_kill_is_not_mixed_with_another_engines(tmp_path, paths, monkeypatch, there):
    monkeypatch.setattr(embed, "BLOCK", SIZE)
    kept, slow, quick = tmp_path / "kept", "float32 by PyTorch", "float32 by OpenVINO 1"

    def stops(fraction, text=""):
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        embed_images(paths, Engines(quick), kept=kept, progress=stops)
    again = Engines(slow, quick) if there else Engines(slow)
    result = embed_images(paths, again, kept=kept)
    assert again.plans == [(38, quick)] and again.count == (37 if there else 68)
    assert again.inference == (quick if there else slow) and len(result.vectors) == 68
    third = Engines(slow)
    embed_images(paths, third, kept=kept)
    assert third.count == 0 and third.plans == []


@pytest.mark.parametrize("damage", ["half", "flipped", "empty", "foreign"])
def test_a_damaged_block_is_computed_again(tmp_path, paths, monkeypatch, damage):
    monkeypatch.setattr(embed, "BLOCK", SIZE)
    kept, first = tmp_path / "kept", Counting()
    expected = embed_images(paths, first, kept=kept)
    files = sorted(kept.iterdir())
    assert len(files) == 5 and first.count == 68
    data = bytearray(files[1].read_bytes())
    if damage == "flipped":
        data[data.index(b"vectors.npy") + 200] ^= 255
    files[1].write_bytes({"half": data[: len(data) // 2], "empty": b"", "foreign": b"no archive"}.get(damage, data))
    second = Counting()
    result = embed_images(paths, second, kept=kept)
    assert second.count == SIZE
    assert np.array_equal(result.vectors, expected.vectors) and result.failures == expected.failures


@pytest.mark.parametrize("lost", ["one", "all"])
def test_a_block_that_goes_after_it_was_seen_is_computed_again(tmp_path, paths, monkeypatch, lost):
    monkeypatch.setattr(embed, "BLOCK", SIZE)
    kept = tmp_path / "kept"
    expected = embed_images(paths, Counting(), kept=kept)
    load = BlockStore.load

    def gone(self, block):
        if lost == "all" or block.start == SIZE:
            (kept / f"{block.start:09d}.block.npz").unlink()
        return load(self, block)

    monkeypatch.setattr(BlockStore, "load", gone)
    settled, reports = [], []
    again = Counting()
    again.settle = lambda *values: settled.append(again.count)
    result = embed_images(paths, again, kept=kept, progress=lambda fraction, text="": reports.append(text))
    assert again.count == (68 if lost == "all" else SIZE) and settled == [0]
    assert np.array_equal(result.vectors, expected.vectors) and result.failures == expected.failures
    assert reports[-1] == "70 of 70 images, 2 failed" and len(list(kept.iterdir())) == 5


class Failing(Counting):
    """Fails on images, by their index, as an odd network does; or gives NaN for them."""

    def __init__(self, indices, nan=False):
        super().__init__()
        self.indices, self.nan = set(indices), nan

    def encode(self, batch):
        odd = [round(float(value[0])) in self.indices for value in batch]
        if any(odd) and not self.nan:
            raise ValueError("wrong weights")
        return np.where(np.array(odd)[:, None], np.nan, super().encode(batch))


@pytest.mark.parametrize("nan", [False, True])
def test_a_repaired_encoder_goes_on_with_images_that_the_broken_one_failed_on(tmp_path, paths, monkeypatch, nan):
    monkeypatch.setattr(embed, "BLOCK", SIZE)
    few = paths[:50]  # fewer than are needed to call it hopeless
    with pytest.raises(InvalidInput if nan else ValueError, match="not finite" if nan else "wrong weights"):
        embed_images(few, Failing(range(50), nan), kept=tmp_path / "kept")
    result = embed_images(few, Counting(), kept=tmp_path / "kept")
    assert list(result.failures) == [3, 40]
    assert np.array_equal(result.vectors, embed_images(few, Counting()).vectors)


@pytest.mark.parametrize("odd", [range(SIZE), range(4 * SIZE, 70)])
def test_images_that_an_encoder_fails_on_are_the_same_after_an_interruption(tmp_path, paths, monkeypatch, odd):
    monkeypatch.setattr(embed, "BLOCK", SIZE)
    expected = embed_images(paths, Failing(odd), kept=tmp_path / "whole")
    assert set(expected.failures) == {3, 40, *odd}
    for stop in range(5):
        kept = tmp_path / f"stopped-{stop}"
        embed_images(paths, Failing(odd), kept=kept)
        for block in range(stop, 5):
            (kept / f"{block * SIZE:09d}.block.npz").unlink(missing_ok=True)
        result = embed_images(paths, Failing(odd), kept=kept)
        assert result.failures == expected.failures and np.array_equal(result.vectors, expected.vectors)


def test_nothing_goes_on_in_threads_after_an_error(tmp_path, paths, monkeypatch):
    def broken(*_):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(embed, "BLOCK", SIZE)
    monkeypatch.setattr(BlockStore, "save", broken)
    monkeypatch.setattr(Counting, "parallel", True, raising=False)
    with pytest.raises(RuntimeError, match="no such thing") as raised:
        embed_images(paths, Counting(), kept=tmp_path / "kept")
    assert raised.tb is not None  # which holds what the call held
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("embed")]


def test_a_full_disk_is_told_once_and_costs_nothing_else(tmp_path, paths, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(embed, "BLOCK", SIZE)
    monkeypatch.setattr(block_store, "whole_file", full)
    told = []
    result = embed_images(paths, Counting(), kept=KeptFile(tmp_path / "kept", told.append))
    assert result.ok.sum() == 68 and [error.errno for error in told] == [errno.ENOSPC]


def test_an_encoder_that_cannot_be_told_from_others_keeps_nothing(tmp_path, paths):
    encoder = Counting()
    encoder.identity = None
    embed_images(paths, encoder, kept=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_blocks_are_removed_and_nothing_else(tmp_path, paths):
    embed_images(paths, Counting(), kept=tmp_path / "kept")
    (tmp_path / "kept" / "mine.txt").touch()
    remove_blocks(tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["mine.txt"]
    (tmp_path / "kept" / "mine.txt").unlink()
    remove_blocks(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    remove_blocks(tmp_path / "kept")


KILLED = """
import json, sys, time
from elfs_plugin.encoders import embed
from tests.elfs_plugin.encoders.test_block_store import Counting, SIZE

class Slow(Counting):
    def encode(self, batch):
        time.sleep(0.05)
        return super().encode(batch)

embed.BLOCK = SIZE
embed.embed_images(json.loads(sys.argv[1]), Slow(), kept=sys.argv[2])
"""


def test_a_killed_job_goes_on_where_it_was(tmp_path, paths, monkeypatch):
    kept = tmp_path / "kept"
    listed = json.dumps([str(path) for path in paths])
    process = subprocess.Popen([sys.executable, "-c", KILLED, listed, str(kept)], cwd=os.getcwd())
    deadline = time.monotonic() + 120
    while len(list(kept.glob("*.block.npz"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (kept / "000000032.block.npz.of-a-dead-process.partial").write_bytes(b"half")
    whole = {path.name for path in kept.glob("*.block.npz")}
    assert {"000000000.block.npz", "000000016.block.npz"} <= whole and len(whole) < 5
    monkeypatch.setattr(embed, "BLOCK", SIZE)
    rest, reports = Counting(), []
    # The other process was given the paths as text.
    result = embed_images(
        [str(path) for path in paths], rest, kept=kept, progress=lambda fraction, text="": reports.append(text)
    )
    usable = [sum(index not in (3, 40) for index in range(at, min(at + SIZE, 70))) for at in range(0, 70, SIZE)]
    assert rest.count == sum(n for at, n in enumerate(usable) if f"{at * SIZE:09d}.block.npz" not in whole)
    expected = embed_images(paths, Counting())
    assert np.array_equal(result.vectors, expected.vectors) and result.failures == expected.failures
    assert reports[-1] == "70 of 70 images, 2 failed"


def test_a_cancelled_stage_keeps_its_blocks_until_all_is_finished(tmp_path, paths, monkeypatch):
    monkeypatch.setattr(embed, "BLOCK", SIZE)
    folder = tmp_path / "stages"

    def stages(is_cancelled=lambda: False):
        return Stages(folder=folder, reporter=Reporter(stage_weights("embeddings"), [], is_cancelled, interval=0))

    with pytest.raises(Cancelled):
        stages(lambda: len(list(folder.glob("*/*.block.npz"))) > 1).embed(paths, "pixels")
    whole = len(list(folder.glob("*/*.block.npz")))
    assert 1 < whole < 5
    saved = []
    save = BlockStore.save
    monkeypatch.setattr(BlockStore, "save", lambda self, block, found: saved.append(block) or save(self, block, found))
    result = stages().embed(paths, "pixels")
    assert len(saved) == 5 - whole
    assert np.array_equal(result.vectors, embed_images(paths, "pixels").vectors)
    assert [path.name for path in folder.iterdir()] == ["embeddings.npz"]
