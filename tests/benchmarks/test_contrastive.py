import numpy as np
import pytest
import torch

from benchmarks.contrastive import (
    ContrastiveConfig,
    augment,
    contrastive_loss,
    embed,
    jitter,
    train_encoder,
)
from elfs_plugin.devices import generator
from elfs_plugin.errors import Cancelled
from elfs_plugin.progress import silent
from tests.helpers import random_images

CPU = torch.device("cpu")
CONFIG = ContrastiveConfig(epochs=2, batch_size=8)


def test_the_loss_by_hand():
    # Two images; views are equal, images orthogonal: of 3 candidates one has similarity 1 / T, two have 0.
    z = torch.eye(2).repeat(2, 1)
    assert float(contrastive_loss(z, 0.5)) == pytest.approx(np.log(np.exp(2) + 2) - 2, rel=1e-5)
    assert float(contrastive_loss(5 * z, 0.5)) == pytest.approx(np.log(np.exp(2) + 2) - 2, rel=1e-5)  # length is free
    mixed = torch.eye(2)[[0, 1, 1, 0]]  # every partner is orthogonal, the other image equal
    assert float(contrastive_loss(mixed, 0.5)) == pytest.approx(np.log(np.exp(2) + 2), rel=1e-5)


def test_jitter_by_hand():
    x = torch.rand(3, 3, 4, 4, generator=generator(0)) * 0.4 + 0.3
    one, none = torch.ones(3), torch.zeros(3)
    torch.testing.assert_close(jitter(x, one, one, one, none), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(jitter(x, one * 0.5, one, one, none), x / 2, atol=1e-5, rtol=0)
    grey = jitter(x, one, one, none, none)
    luminance = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    for channel in range(3):
        torch.testing.assert_close(grey[:, channel], luminance, atol=2e-3, rtol=0)
    flat = jitter(x, one, none, one, none)
    assert flat.flatten(1).std(dim=1).max() < 1e-5  # without contrast the mean grey is left
    turned = jitter(x, one, one, one, one)  # a whole turn of the hue
    torch.testing.assert_close(turned, x, atol=1e-4, rtol=0)


def test_augmentation_is_seeded_different_for_each_image_and_in_range():
    pixels = torch.from_numpy(random_images(1, 16)).repeat(64, 1, 1, 1)
    views = augment(pixels, generator(1), CONFIG)
    assert views.shape == pixels.shape and views.min() >= 0 and views.max() <= 255.001
    assert torch.equal(views, augment(pixels, generator(1), CONFIG))
    assert len({tuple(view.flatten()[:20].tolist()) for view in views}) == 64
    grey = (views.amax(dim=1) - views.amin(dim=1)).amax(dim=(1, 2)) < 1.0
    assert 3 <= int(grey.sum()) <= 25  # a fifth of 64


def test_half_of_the_views_are_mirrored_and_none_turned():
    config = ContrastiveConfig(smallest_crop=1.0, jitter=0.0, hue=0.0)
    rising = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(60, 3, 8, 8)
    views = augment(rising, generator(0), config)
    mirrored = views[:, 0, 0, 1] > views[:, 0, 0, -2]
    assert 15 < int(mirrored.sum()) < 45
    assert (views[:, 0, 1, 4] < views[:, 0, -2, 4]).all()


def test_an_interrupted_encoder_resumes_to_the_same_weights(tmp_path):
    images = random_images(16, 8)
    options = dict(config=CONFIG, seed=0, device=CPU)
    whole = train_encoder(images, **options, checkpoint=None, progress=silent)
    calls = []

    def cancel(fraction, detail=""):
        calls.append(fraction)
        if len(calls) == 3:
            raise Cancelled()

    path = tmp_path / "encoder"
    with pytest.raises(Cancelled):
        train_encoder(images, **options, checkpoint=path, progress=cancel)
    resumed = train_encoder(images, **options, checkpoint=path, progress=silent)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    vectors = embed(whole, images, CPU, rows=5)
    assert vectors.shape == (16, 512) and vectors.dtype == np.float32 and np.isfinite(vectors).all()
    mirrored = embed(whole, images[..., ::-1], CPU)
    np.testing.assert_allclose(vectors, mirrored, rtol=1e-3, atol=1e-4)
