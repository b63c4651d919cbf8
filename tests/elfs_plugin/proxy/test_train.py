import numpy as np
import pytest
import torch

from elfs_plugin.errors import InvalidInput, explain
from elfs_plugin.proxy.config import ProxyConfig
from elfs_plugin.proxy.dynamics import HARD_WHEN, Recorder
from elfs_plugin.proxy.networks import SideBySide
from elfs_plugin.proxy.train import default_config, fit, train_proxy

pytestmark = pytest.mark.usefixtures("one_thread")

MLP = ProxyConfig.mlp(epochs=8, batch_size=32)


def blobs(n=120, classes=3, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return (3 * np.eye(dim)[labels] + 0.3 * rng.normal(size=(n, dim))).astype(np.float32), labels


def random_images(n=40, size=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def tinted_images(labels, size=16, seed=0):
    """Noise whose red channel is bright for label 1 and dark for label 0."""
    images = np.random.default_rng(seed).integers(0, 60, (len(labels), 3, size, size), dtype=np.uint8)
    images[:, 0] += (150 * np.asarray(labels)).astype(np.uint8)[:, None, None]
    return images


def test_dynamics_have_one_score_per_sample():
    vectors, labels = blobs(50)
    dynamics = train_proxy(vectors, labels, config=MLP, device="cpu")
    assert dynamics.epochs == 8
    for name in HARD_WHEN:
        scores = getattr(dynamics, name)
        assert scores.shape == (50,) and scores.dtype == np.float64 and np.isfinite(scores).all()
    assert (np.abs(dynamics.aum) <= 8).all()
    assert (dynamics.correctness <= 8).all() and dynamics.correctness.max() > 4


def test_mislabelled_samples_get_the_lowest_aum():
    vectors, labels = blobs(120)
    wrong = np.array([5, 40, 77, 100])
    noisy = labels.copy()
    noisy[wrong] = (noisy[wrong] + 1) % 3
    dynamics = train_proxy(vectors, noisy, config=MLP, device="cpu")
    assert set(np.argsort(dynamics.aum)[:4]) == set(wrong)
    assert set(np.argsort(dynamics.aum_logit)[:4]) == set(wrong)
    assert set(np.argsort(-dynamics.el2n)[:4]) == set(wrong)


def test_same_seed_same_dynamics_whatever_the_global_seed():
    vectors, labels = blobs(60)
    torch.manual_seed(0)
    one = train_proxy(vectors, labels, config=MLP, device="cpu")
    torch.manual_seed(123)
    same = train_proxy(vectors, labels, config=MLP, device="cpu")
    other = train_proxy(vectors, labels, config=MLP, seed=1, device="cpu")
    for name in HARD_WHEN:
        assert np.array_equal(getattr(one, name), getattr(same, name)), name
    assert not np.array_equal(one.aum, other.aum)


def test_every_sample_is_seen_once_per_epoch():
    images, labels = random_images(50, 8), np.arange(50) % 3
    seen = []
    config = ProxyConfig.timm("test_resnet", image_size=8, epochs=3, batch_size=16)
    fit(images, labels, config=config, device="cpu", on_batch=lambda i, logits, y: seen.append((i.tolist(), y)))
    assert [len(i) for i, _ in seen] == [16, 16, 16, 2] * 3
    for epoch in range(3):
        batches = seen[4 * epoch : 4 * epoch + 4]
        assert sorted(sum((i for i, _ in batches), [])) == list(range(50))
        assert all(y.tolist() == labels[i].tolist() for i, y in batches)


def test_steps_replace_epochs():
    images, labels = random_images(50, 8), np.arange(50) % 3
    calls, reports = [], []
    config = ProxyConfig.timm("test_resnet", image_size=8, steps=5, batch_size=16)
    fit(
        images,
        labels,
        config=config,
        device="cpu",
        on_batch=lambda *batch: calls.append(batch),
        progress=lambda fraction, detail="": reports.append(fraction),
    )
    assert len(calls) == 5
    assert reports == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_scale_of_the_embeddings_does_not_matter():
    vectors, labels = blobs(60)
    plain = train_proxy(vectors, labels, config=MLP, device="cpu")
    scaled = train_proxy(vectors * 1024 + 5, labels, config=MLP, device="cpu")
    np.testing.assert_allclose(scaled.aum, plain.aum, atol=0.02)


def test_a_constant_dimension_is_harmless():
    vectors, labels = blobs(60)
    vectors[:, 3] = 7.0
    assert np.isfinite(train_proxy(vectors, labels, config=MLP, device="cpu").aum).all()


def test_more_classes_than_labels_seen():
    images, labels = random_images(30, 8), np.arange(30) % 3
    widths, config = [], ProxyConfig.timm("test_resnet", image_size=8, epochs=1)
    fit(images, labels, num_classes=5, config=config, device="cpu", on_batch=lambda i, z, y: widths.append(z.shape[1]))
    assert set(widths) == {5}


def test_one_sample():
    assert train_proxy(np.ones((1, 3)), [0], num_classes=2, config=MLP, device="cpu").aum.shape == (1,)


def test_resnet_on_small_images():
    images, labels = random_images(size=8), np.arange(40) % 2
    config = ProxyConfig.resnet18(epochs=1, batch_size=20)
    one = train_proxy(images, labels, config=config, device="cpu")
    assert one.epochs == 1 and one.aum.shape == (40,)
    assert all(np.isfinite(getattr(one, name)).all() for name in HARD_WHEN)
    assert (np.abs(one.aum) <= 1).all()
    same = train_proxy(images, labels, config=config, device="cpu")
    assert np.array_equal(one.aum, same.aum)


def test_resnet_learns_and_finds_the_mislabelled():
    labels = np.arange(40) % 2
    images = tinted_images(labels, 8)
    noisy = labels.copy()
    noisy[[6, 31]] = 1 - noisy[[6, 31]]
    config = ProxyConfig.resnet18(epochs=6, batch_size=20, learning_rate=0.02)
    dynamics = train_proxy(images, noisy, config=config, device="cpu")
    assert set(np.argsort(dynamics.aum)[:2]) == {6, 31}


def test_small_resnets_learn_and_find_the_mislabelled():
    labels = np.arange(40) % 2
    noisy = labels.copy()
    noisy[[6, 31]] = 1 - noisy[[6, 31]]
    images, config = tinted_images(labels, 8), ProxyConfig.resnet8(batch_size=8, members=2)
    dynamics = train_proxy(images, noisy, config=config, device="cpu")
    assert dynamics.epochs == 10 and set(np.argsort(dynamics.aum)[:2]) == {6, 31}
    assert (dynamics.aum_spread > 0).all()
    assert np.array_equal(dynamics.aum, train_proxy(images, noisy, config=config, device="cpu").aum)
    assert (fit(images, labels, config=config, device="cpu").predict(images) == labels).all()


def test_the_score_of_small_resnets_is_the_mean_of_their_scores():
    images, labels, config = random_images(20), np.arange(20) % 2, ProxyConfig.resnet8(epochs=1, members=3)
    margins = np.empty((20, 3))

    def watch(indices, logits, labels):
        p = logits.double().softmax(dim=2).numpy()
        own = np.where(labels.numpy() == 0, 1, -1)
        margins[indices.numpy()] = own[:, None] * (p[:, :, 0] - p[:, :, 1])

    fit(images, labels, config=config, device="cpu", on_batch=watch)
    dynamics = train_proxy(images, labels, config=config, device="cpu")
    assert np.allclose(dynamics.aum, margins.mean(axis=1), atol=1e-6)
    assert np.allclose(dynamics.aum_spread, margins.std(axis=1), atol=1e-6)


def test_resnet_with_a_lone_last_sample():
    # 9 samples in batches of 4 leave one, which batch normalisation cannot take alone; it is still seen once.
    images, labels = random_images(9, 8), np.arange(9) % 2
    seen = []
    model = fit(
        images,
        labels,
        config=ProxyConfig.resnet18(epochs=1, batch_size=4),
        device="cpu",
        on_batch=lambda i, z, y: seen.extend(i.tolist()),
    )
    assert sorted(seen) == list(range(9))
    predicted = model.predict(images)
    assert predicted.shape == (9,) and set(predicted.tolist()) <= {0, 1}


def test_the_inputs_decide_the_form():
    assert default_config(np.zeros((4, 3))) == ProxyConfig.mlp()
    assert default_config(random_images(2)) == ProxyConfig.resnet18()


def test_wrong_inputs():
    vectors, labels = blobs(10)
    with pytest.raises(InvalidInput, match="as many labels as inputs; there are 10 and 9"):
        train_proxy(vectors[:9], labels, config=MLP)
    with pytest.raises(InvalidInput, match="there are 0 and 0"):
        fit(random_images(0), labels[:0])
    with pytest.raises(InvalidInput, match=r"takes an \(N, D\) matrix"):
        train_proxy(random_images(10), labels, config=MLP)
    with pytest.raises(InvalidInput, match="'mlp' learns from embeddings, and not from images"):
        fit(vectors, labels, config=MLP)
    for images in (random_images(10).astype(np.float32), random_images(10)[:, :1], vectors):
        with pytest.raises(InvalidInput, match=r"takes \(N, 3, S, S\) uint8 images, not shape .* of (float32|uint8)"):
            fit(images, labels, config=ProxyConfig.resnet18(epochs=1))
    with pytest.raises(InvalidInput, match="7 x 7 pixels are too small"):
        fit(random_images(10, 7), labels, config=ProxyConfig.resnet18(epochs=1))
    with pytest.raises(InvalidInput, match="two images at least"):
        fit(random_images(1), [0], num_classes=2, config=ProxyConfig.resnet18(epochs=1))


@pytest.mark.parametrize(
    ("labels", "num_classes", "message"),
    [
        ([0, 1, -1, 0], 2, "from 0 to 1; there are labels from -1 to 1"),
        ([0, 1, 2, 0], 2, "from 0 to 1; there are labels from 0 to 2"),
        ([0, 1, -1, 0], None, "from 0; there are labels from -1"),
        ([0.0, 1.0, 0.5, 0.0], 2, "whole numbers in one row, not float64"),
        ([[0], [1], [0], [1]], 2, "one row, not int64 of shape"),
        ([0, 0, 0, 0], None, "two classes at least"),
    ],
)
def test_wrong_labels(labels, num_classes, message):
    with pytest.raises(InvalidInput, match=message):
        train_proxy(np.eye(4), labels, num_classes=num_classes, config=MLP)


@pytest.fixture(scope="module")
def classifier():
    """A network that has learnt tinted images, and the images."""
    labels = np.arange(50) % 2
    images, config = tinted_images(labels, 8), ProxyConfig.resnet8(members=2, steps=20, batch_size=16)
    return fit(images, labels, config=config, device="cpu"), images


def test_predictions_in_small_blocks_and_of_nothing(classifier):
    model, images = classifier
    assert (model.predict(images, rows=7) == model.predict(images)).all()
    assert model.predict(images[:0]).shape == (0,)


def test_prediction_halves_its_blocks_when_memory_is_full(classifier, monkeypatch):
    model, images = classifier
    expected, sizes = model.predict(images), []
    forward = SideBySide.forward

    def limited(self, x):
        sizes.append(len(x))
        if len(x) > 16:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(self, x)

    monkeypatch.setattr(SideBySide, "forward", limited)
    assert (model.predict(images, rows=50) == expected).all()
    assert sizes == [50, 25, 12, 12, 12, 12, 2]


def test_the_cpu_predicts_where_not_one_image_fits_on_the_gpu(monkeypatch, caplog):
    # "cpu:0" plays the GPU.
    images, labels = tinted_images(np.arange(12) % 2, 8), np.arange(12) % 2
    config = ProxyConfig.resnet8(members=1, steps=2, batch_size=6)
    model = fit(images, labels, config=config, device="cpu:0")
    expected, classes = model.predict(images), type(model)._classes

    def full(self, x):
        if self._source.device == torch.device("cpu:0"):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return classes(self, x)

    monkeypatch.setattr(type(model), "_classes", full)
    assert (model.predict(images) == expected).all() and (model.predict(images) == expected).all()
    assert caplog.text.count("the CPU predicts") == 1


def test_a_gpu_that_is_lost_leaves_the_last_checkpoint_and_is_named(tmp_path, monkeypatch):
    images, labels = tinted_images(np.arange(24) % 2, 8), np.arange(24) % 2
    config, path, steps = ProxyConfig.resnet8(members=1, epochs=3, batch_size=8), tmp_path / "training", []
    whole = train_proxy(images, labels, config=config, device="cpu")
    update = Recorder.update

    def lost(self, *batch):
        steps.append(1)
        if len(steps) == 5:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be …")
        update(self, *batch)

    monkeypatch.setattr(Recorder, "update", lost)
    with pytest.raises(torch.AcceleratorError) as caught:
        train_proxy(images, labels, config=config, device="cpu", checkpoint=path, checkpoint_seconds=0)
    said = explain(caught.value)
    assert said.startswith("The GPU failed or its driver is gone (CUDA error: unspecified launch failure).")
    assert "start it again" in said and "resumes from the last finished stage" in said
    resumed = train_proxy(images, labels, config=config, device="cpu", checkpoint=path)
    assert np.array_equal(resumed.aum, whole.aum) and len(steps) == 5 + 5
