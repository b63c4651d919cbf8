import numpy as np
import pytest
import torch

from elfs_plugin.devices import generator
from elfs_plugin.proxy import image_source
from elfs_plugin.proxy.config import ProxyConfig
from elfs_plugin.proxy.image_source import Images, crop_and_flip
from elfs_plugin.proxy.train import fit

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


def random_images(n=12, size=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def test_crop_and_flip_by_hand():
    # One row 0 1 2 3 padded by one pixel: 1 0 1 2 3 2.
    data = torch.arange(4, dtype=torch.uint8).expand(1, 3, 4, 4)
    rows = torch.zeros(4, dtype=torch.int64)
    draws = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 2, 0], [1, 2, 1]])
    out = crop_and_flip(data, rows, draws, (1, 1))
    assert out.dtype == torch.uint8 and out.is_contiguous(memory_format=torch.channels_last)
    assert out[:, 0, 0].tolist() == [[1, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 2], [2, 3, 2, 1]]
    columns = crop_and_flip(data.transpose(2, 3), rows[:1], torch.tensor([[0, 1, 0]]), (1, 1))
    assert columns[0, 2, :, 0].tolist() == [1, 0, 1, 2]


def test_augmentation_is_a_window_of_the_reflected_image():
    images, size, pad = random_images(64, 8), 8, 1
    source = Images(images, CPU)
    draws = source.draw(64, generator(0))
    augmented = crop_and_flip(torch.from_numpy(images), torch.arange(64), draws, (pad, pad))
    for image, out, (top, left, flip) in zip(images, augmented, draws.tolist()):
        padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
        window = padded[:, top : top + size, left : left + size]
        assert np.array_equal(out, window[:, :, ::-1] if flip else window)
    assert draws.min(dim=0).values.tolist() == [0, 0, 0] and draws.max(dim=0).values.tolist() == [2, 2, 1]
    assert len({tuple(row) for row in draws.tolist()}) > 12  # of 18 possible ones


def test_batches_are_normalised_and_channels_last():
    images = np.full((4, 3, 8, 8), 255, dtype=np.uint8)
    images[1] = 0
    x = Images(images, CPU).batch(torch.tensor([1, 0]))
    assert x.shape == (2, 3, 8, 8) and x.is_contiguous(memory_format=torch.channels_last)
    assert x[0].unique().tolist() == [-2.0] and x[1].unique().tolist() == [2.0]
    other = Images(images, CPU, ((0.0, 0.5, 1.0), (1.0, 0.5, 0.25))).batch(torch.tensor([0]))
    assert other[0, :, 0, 0].tolist() == pytest.approx([1.0, 1.0, 0.0], abs=1e-6)


def test_images_kept_on_the_device_give_the_same_batches(monkeypatch):
    images = random_images(20)
    read = Images(images, CPU)
    monkeypatch.setattr(image_source, "fits_on", lambda device, size: size == images.nbytes)
    monkeypatch.setattr(image_source, "_UPLOAD_BYTES", 3 * images[0].nbytes)
    kept = Images(images, CPU)
    assert kept.resident and not read.resident
    rows, draws = torch.tensor([3, 17, 0]), read.draw(3, generator(1))
    assert torch.equal(kept.batch(rows), read.batch(rows))
    assert torch.equal(kept.batch(rows, draws), read.batch(rows, draws))


def test_a_full_device_leaves_the_images_where_they_are(monkeypatch):
    def full(*shape, **options):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(image_source, "fits_on", lambda device, size: True)
    monkeypatch.setattr(image_source.torch, "empty", full)
    assert not Images(random_images(), CPU).resident


def test_only_the_rows_of_a_batch_are_read_from_a_memory_map(tmp_path):
    read = []

    class Watched(np.ndarray):
        """Writes down the rows that are taken."""

        def __getitem__(self, rows):
            read.append(np.asarray(rows).tolist())
            return np.asarray(super().__getitem__(rows))

    path = tmp_path / "images.npy"
    np.save(path, random_images(30, 8).transpose(0, 1, 3, 2))
    mapped = np.load(path, mmap_mode="r")
    images = mapped.transpose(0, 1, 3, 2).view(Watched)  # not contiguous: the way that could copy everything
    batch = Images(images, CPU).batch(torch.tensor([4, 29]))
    assert read == [[4, 29]]
    assert torch.equal(batch, Images(random_images(30, 8), CPU).batch(torch.tensor([4, 29])))


def test_read_only_memory_maps_train(tmp_path, recwarn):
    images = random_images(12, 8)
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    config = ProxyConfig.timm("test_resnet", image_size=8, epochs=1, batch_size=6)
    labels = np.arange(12) % 2
    expected = fit(images, labels, config=config, device="cpu").predict(images)
    assert (fit(mapped, labels, config=config, device="cpu").predict(mapped) == expected).all()
    assert not [w for w in recwarn if "writable" in str(w.message)]
