import threading
import time
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from elfs_plugin.encoders import embed, rows, streaming
from elfs_plugin.encoders.embed import TorchEncoder, embed_images
from elfs_plugin.encoders.images import read_image
from elfs_plugin.encoders.rows import Rows
from elfs_plugin.encoders.streaming import stream
from elfs_plugin.errors import InvalidInput

BROKEN = (0, 9, 10, 11, 38)


@pytest.fixture
def paths(tmp_path):
    """40 noisy images; five files are none."""
    rng = np.random.default_rng(0)
    found = []
    for index in range(40):
        found.append(tmp_path / f"{index:02d}.png")
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(found[-1])
    for index in BROKEN:
        found[index].write_text("no image")
    return found


def network():
    """A small network with its preprocessing, on the CPU."""
    import timm

    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()]
    transform = timm.data.create_transform(input_size=(3, 24, 24), is_training=False)
    return TorchEncoder("small", torch.nn.Sequential(*layers), transform, torch.device("cpu"))


class Sizes:
    """An encoder that notes how many images it is given."""

    batch_size = 4

    def __init__(self):
        self.sizes = []

    def transform(self, image):
        return np.asarray(image, dtype=np.float32)[0, 0]

    def encode(self, batch):
        self.sizes.append(len(batch))
        return np.stack(batch)


@pytest.mark.parametrize("size", [16, 256])
def test_the_vectors_are_in_order_and_the_same_for_any_number_of_threads(paths, monkeypatch, size):
    monkeypatch.setattr(embed, "BLOCK", size)
    encoder = network()
    results = [embed_images(paths, encoder, threads=threads) for threads in (1, 2, 5)]
    for result in results:
        assert list(result.failures) == list(BROKEN) and np.flatnonzero(~result.ok).tolist() == list(BROKEN)
        assert np.array_equal(result.vectors, results[0].vectors)
    usable = [index for index in range(40) if index not in BROKEN]
    for row, index in enumerate(usable):
        alone = encoder.encode([read_image(paths[index], encoder.transform)])[0]
        np.testing.assert_allclose(results[0].vectors[row], alone, rtol=1e-4, atol=1e-5)


def test_threads_of_their_own_give_what_one_thread_that_encodes_gives(paths, monkeypatch):
    expected = embed_images(paths, network()).vectors
    monkeypatch.setattr(TorchEncoder, "parallel", False)
    np.testing.assert_allclose(embed_images(paths, network()).vectors, expected, rtol=1e-4, atol=1e-5)


def test_broken_files_leave_the_batches_full(tmp_path, paths):
    good = [path for index, path in enumerate(paths) if index not in BROKEN][:32]
    bad = [paths[BROKEN[0]]] * 1000
    mixed = [path for at, path in enumerate(good) for path in [path, *bad[at::32]]]
    encoder = Sizes()
    result = embed_images(mixed, encoder)
    assert result.ok.sum() == 32 and len(result.failures) == 1000
    blocks = -(-len(mixed) // embed.BLOCK)
    assert len(encoder.sizes) <= 32 // encoder.batch_size + blocks


def test_an_encoder_that_works_for_none_is_given_up_soon(paths):
    class Broken(Sizes):
        def encode(self, batch):
            super().encode(batch)
            raise ValueError("wrong weights")

    many = [paths[1]] * 1000
    encoder = Broken()
    with pytest.raises(ValueError, match="wrong weights"):
        embed_images(many, encoder)
    assert sum(size == 1 for size in encoder.sizes) < 2 * streaming.HOPELESS


def test_little_is_decoded_ahead(paths):
    class Noting(Sizes):
        parallel = True

        def __init__(self):
            super().__init__()
            self.begun, self.lock = 0, threading.Lock()

        def transform(self, image):
            with self.lock:
                self.begun += 1
            return super().transform(image)

    encoder = Noting()
    blocks = [range(at, at + 4) for at in range(0, 2000, 4)]
    found = stream([paths[1]] * 2000, encoder, blocks, threads=2)
    next(found)
    time.sleep(0.3)
    assert encoder.begun <= 4 * (1 + 2 * (streaming._AHEAD + 1))
    found.close()


def test_images_of_one_pixel_and_of_twenty_thousand_among_small_ones(tmp_path, paths):
    Image.new("RGB", (1, 1), (200, 0, 0)).save(tmp_path / "one.png")
    Image.new("RGB", (20_000, 300), (0, 200, 0)).save(tmp_path / "wide.jpg")
    mixed = [paths[1], tmp_path / "one.png", paths[2], tmp_path / "wide.jpg", paths[3]]
    result = embed_images(mixed, network())
    assert result.ok.all() and np.isfinite(result.vectors).all()
    np.testing.assert_array_equal(result.vectors[[0, 2, 4]], embed_images(paths[1:4], network()).vectors)


def test_all_broken_says_why(paths):
    with pytest.raises(InvalidInput, match="None of the 5 images could be embedded.*not an image"):
        embed_images([paths[index] for index in BROKEN], network())


# Many vectors


def test_many_vectors_lie_in_a_file_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "IN_MEMORY", 2)
    monkeypatch.setattr(rows, "_AT_ONCE", 2)
    expected = np.arange(15, dtype=np.float32).reshape(5, 3)
    gathered = Rows(6, tmp_path)
    for vector in expected:
        gathered.append(vector)
    found = gathered.array()
    assert isinstance(found, np.memmap) and np.array_equal(found, expected)
    assert not list(tmp_path.iterdir())  # it has no name, and goes with the process


def test_many_vectors_lie_beside_the_blocks_in_a_folder_that_is_new(tmp_path, paths, monkeypatch):
    folders = []
    make = rows.tempfile.TemporaryFile
    monkeypatch.setattr(rows, "IN_MEMORY", 2)
    monkeypatch.setattr(rows.tempfile, "TemporaryFile", lambda **how: folders.append(how["dir"]) or make(**how))
    result = embed_images(paths, network(), kept=tmp_path / "new" / "run" / "blocks")
    assert isinstance(result.vectors, np.memmap) and folders == [tmp_path / "new" / "run"]


def test_memory_does_not_grow_with_the_number_of_vectors(tmp_path, paths, monkeypatch):
    class Long(Sizes):
        batch_size = 64

        def encode(self, batch):
            return np.full((len(batch), 4096), float(batch[0][0]), dtype=np.float32)

    monkeypatch.setattr(rows, "IN_MEMORY", 100)
    monkeypatch.setattr(rows, "_AT_ONCE", 64)

    def peak(count):
        tracemalloc.start()
        result = embed_images([paths[1]] * count, Long(), threads=2)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert result.vectors.shape == (count, 4096) and len(np.unique(result.vectors)) == 1
        return top

    assert peak(3072) < 1.5 * peak(1024)
