import logging
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from elfs_plugin.errors import Cancelled, ElfsError
from elfs_plugin.progress import silent
from elfs_plugin.proxy import train as proxy
from elfs_plugin.proxy import training as proxy_training
from elfs_plugin.proxy.config import ProxyConfig
from elfs_plugin.proxy.train import fit, train_proxy
from elfs_plugin.training_checkpoint import TrainingCheckpoint

pytestmark = pytest.mark.usefixtures("one_thread")

# In float32, where the same steps give the same bits on every processor.
SMALL = ProxyConfig.timm("test_resnet", image_size=16, epochs=3, batch_size=6, precision="float32")
LABELS = np.arange(13) % 3


def random_images(n=13, size=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def said(caplog):
    """What the training itself has logged; PyTorch has much to say on some machines."""
    return [record.getMessage() for record in caplog.records if record.name == proxy_training.logger.name]


def same(one, other):
    return all(np.array_equal(value, vars(other)[name]) for name, value in vars(one).items())


class CancelAt:
    """A progress callable that cancels at its ``call``-th report."""

    def __init__(self, call):
        self.left = call
        self.details = []

    def __call__(self, fraction, detail=""):
        self.details.append(detail)
        self.left -= 1
        if self.left == 0:
            raise Cancelled()


@pytest.fixture(scope="module")
def uninterrupted():
    return train_proxy(random_images(), LABELS, config=SMALL, device="cpu")


def test_cancelled_anywhere_and_resumed_gives_the_same_dynamics(tmp_path, uninterrupted):
    # 13 samples in batches of 6: three steps an epoch, the last with a lone sample; nine steps.
    path = tmp_path / "training"
    for step in (1, 2, 3, 5, 6, 8, 9):
        with pytest.raises(Cancelled):
            train_proxy(random_images(), LABELS, config=SMALL, device="cpu", checkpoint=path, progress=CancelAt(step))
        assert path.is_file()
        rest = CancelAt(0)
        resumed = train_proxy(random_images(), LABELS, config=SMALL, device="cpu", checkpoint=path, progress=rest)
        assert same(resumed, uninterrupted), step
        assert len(rest.details) == 1 + 9 - step and rest.details[0].startswith("resumed at epoch")
        assert not path.exists()


def test_cancelled_again_and_again(tmp_path, uninterrupted):
    path, cancelled = tmp_path / "training", 0
    while True:
        try:
            result = train_proxy(
                random_images(), LABELS, config=SMALL, device="cpu", checkpoint=path, progress=CancelAt(3)
            )
            break
        except Cancelled:
            cancelled += 1
    assert cancelled == 4 and same(result, uninterrupted)


def test_killed_training_goes_on_from_the_last_timed_write(tmp_path, uninterrupted, monkeypatch):
    path, updates = tmp_path / "training", []
    update = proxy.Recorder.update

    def dies(self, *batch):
        updates.append(batch)
        if len(updates) == 5:
            raise KeyboardInterrupt
        update(self, *batch)

    monkeypatch.setattr(proxy.Recorder, "update", dies)
    with pytest.raises(KeyboardInterrupt):
        train_proxy(random_images(), LABELS, config=SMALL, device="cpu", checkpoint=path, checkpoint_seconds=0)
    assert torch.load(path, weights_only=True)["state"]["step"] == 4
    resumed = train_proxy(random_images(), LABELS, config=SMALL, device="cpu", checkpoint=path)
    assert same(resumed, uninterrupted) and len(updates) == 5 + 5


@pytest.mark.parametrize("change", ["images", "labels", "seed", "config"])
def test_the_checkpoint_of_another_training_is_ignored(tmp_path, change):
    path = tmp_path / "training"
    with pytest.raises(Cancelled):
        train_proxy(random_images(), LABELS, config=SMALL, device="cpu", checkpoint=path, progress=CancelAt(4))
    arguments = {"inputs": random_images(), "labels": LABELS, "seed": 0, "config": SMALL}
    arguments |= {
        "images": {"inputs": random_images(seed=1)},
        "labels": {"labels": LABELS[::-1].copy()},
        "seed": {"seed": 1},
        "config": {"config": ProxyConfig.timm("test_vit", image_size=16, epochs=3, batch_size=6, precision="float32")},
    }[change]
    steps = CancelAt(0)
    fresh = train_proxy(**arguments, device="cpu", checkpoint=path, progress=steps)
    assert len(steps.details) == 9 and same(fresh, train_proxy(**arguments, device="cpu"))


def test_small_resnets_resume_to_the_same_scores(tmp_path):
    images, config = random_images(), ProxyConfig.resnet8(epochs=2, batch_size=6, precision="float32")
    with pytest.raises(Cancelled):
        train_proxy(images, LABELS, config=config, device="cpu", checkpoint=tmp_path / "t", progress=CancelAt(4))
    assert (tmp_path / "t").exists()
    resumed = train_proxy(images, LABELS, config=config, device="cpu", checkpoint=tmp_path / "t")
    assert same(resumed, train_proxy(images, LABELS, config=config, device="cpu"))


def test_a_resumed_classifier_predicts_the_same(tmp_path):
    images, config = random_images(size=32), replace(SMALL, image_size=32, steps=4)
    whole = fit(images, LABELS, config=config, device="cpu")
    with pytest.raises(Cancelled):
        fit(images, LABELS, config=config, device="cpu", checkpoint=tmp_path / "training", progress=CancelAt(3))
    resumed = fit(images, LABELS, config=config, device="cpu", checkpoint=tmp_path / "training")
    for name, value in whole._model.state_dict().items():
        assert torch.equal(value, resumed._model.state_dict()[name]), name


def test_the_learning_rate_follows_a_cosine():
    rates = []
    step = torch.optim.SGD.step

    def watched(self, *arguments):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", watched)
        config = ProxyConfig.timm("test_resnet", image_size=16, steps=4)
        fit(random_images(), LABELS, config=config, device="cpu")
    expected = [1e-4 + (0.1 - 1e-4) * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)]
    assert rates == pytest.approx(expected) and rates[0] == pytest.approx(0.1)


# A full GPU, played by a network that refuses large batches


def limit_memory(monkeypatch, rows, sizes):
    """Every pass of more than ``rows(…)`` images fails as on a full GPU; ``sizes`` gets those that went through."""
    network = proxy.Images.network

    def limited(self, *arguments):
        model = network(self, *arguments)
        forward = model.forward

        def check(x):
            if model.training and len(x) > rows():
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
            sizes.append(len(x))
            return forward(x)

        model.forward = check
        return model

    monkeypatch.setattr(proxy.Images, "network", limited)


def test_out_of_memory_halves_what_passes_at_once(monkeypatch, caplog):
    sizes, batches, details = [], [], CancelAt(0)
    limit_memory(monkeypatch, lambda: 3, sizes)
    config = ProxyConfig.timm("test_resnet", image_size=16, epochs=2, batch_size=8, precision="float32")
    with caplog.at_level(logging.WARNING):
        fit(
            random_images(17),
            np.arange(17) % 3,
            config=config,
            device="cpu",
            progress=details,
            on_batch=lambda i, z, y: batches.append((i.tolist(), len(z), y.tolist())),
        )
    # Batches of 8, 8 and 2 (the lone last image and the epoch's first), all in parts of two.
    assert sizes == [2] * 18
    assert [len(i) for i, _, _ in batches] == [8, 8, 1] * 2 == [n for _, n, _ in batches]
    for epoch in (batches[:3], batches[3:]):
        assert sorted(sum((i for i, _, _ in epoch), [])) == list(range(17))
        assert all(y == [k % 3 for k in i] for i, _, y in epoch)
    assert [text.startswith("Out of memory on cpu (CUDA out of memory.") for text in said(caplog)] == [True]
    assert all("in parts of 2: memory is short" in detail for detail in details.details)


def test_the_gradient_of_parts_is_the_batchs():
    """Without batch normalisation parts change nothing but rounding."""
    config = ProxyConfig.timm("test_vit", image_size=16, epochs=2, batch_size=6, precision="float32")
    images, weights = random_images(12), []
    for rows in (6, 3):
        training = proxy_training.Training(
            proxy.Images(images, torch.device("cpu")), torch.from_numpy(LABELS[:12]), 3, config, 0
        )
        training.rows = rows
        weights.append(training.run(TrainingCheckpoint(None, None), silent).state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-4)


def test_the_cpu_is_the_last_resort(monkeypatch, caplog):
    # "cpu:0" plays the GPU: nothing fits on it until the training has moved to the CPU.
    sizes, places = [], []
    limit_memory(monkeypatch, lambda: 0 if not places else 99, sizes)
    place = proxy_training.Training._place

    def watched(self, device):
        if device == torch.device("cpu"):
            places.append(device)
        return place(self, device)

    monkeypatch.setattr(proxy_training.Training, "_place", watched)
    details = CancelAt(0)
    with caplog.at_level(logging.WARNING):
        moved = train_proxy(random_images(), LABELS, config=SMALL, device="cpu:0", progress=details)
    assert places == [torch.device("cpu")] and len(sizes) == 9 and moved.epochs == 3
    assert caplog.text.count("it goes on on the CPU") == 1 and caplog.text.count("Out of memory") == 1
    assert all("the GPU's memory is full" in detail for detail in details.details)


def test_moving_to_the_cpu_half_way_keeps_the_training(monkeypatch, uninterrupted):
    sizes = []
    limit_memory(monkeypatch, lambda: 99 if len(sizes) != 4 or moved else 0, sizes)
    moved = []
    retreat = proxy_training.Training._retreat

    def watched(self, device):
        moved.append(device)
        return retreat(self, device)

    monkeypatch.setattr(proxy_training.Training, "_retreat", watched)
    result = train_proxy(random_images(), LABELS, config=SMALL, device="cpu:0")
    assert moved == [torch.device("cpu:0")] and same(result, uninterrupted)


def test_out_of_memory_on_the_cpu_itself_is_an_error(monkeypatch):
    limit_memory(monkeypatch, lambda: 0, [])
    with pytest.raises(torch.cuda.OutOfMemoryError):
        train_proxy(random_images(), LABELS, config=SMALL, device="cpu")


def test_a_network_that_cannot_be_compiled_runs_as_it_is(monkeypatch, caplog, uninterrupted):
    def broken(*arguments):
        raise RuntimeError("no compiler\nlong trace")

    monkeypatch.setattr(proxy_training, "through_torch_compile", lambda *given: broken)
    with caplog.at_level(logging.WARNING):
        result = train_proxy(random_images(), LABELS, config=SMALL, device="cpu")
    assert same(result, uninterrupted)
    assert said(caplog) == ["The network runs uncompiled: no compiler"]


def test_a_gpu_takes_repeatable_kernels_only_when_asked_and_puts_the_settings_back():
    def settings():
        cudnn = torch.backends.cudnn
        return cudnn.benchmark, cudnn.deterministic, torch.are_deterministic_algorithms_enabled()

    before, gpu = settings(), SimpleNamespace(type="cuda")
    with proxy_training.kernels(gpu, False):
        assert settings() == (True, False, False)
    with proxy_training.kernels(gpu, True):
        assert settings() == (False, True, True)
    with proxy_training.kernels(torch.device("cpu"), True):
        assert settings() == before
    assert settings() == before


# A loss that is not a number


def test_a_diverging_training_says_where_and_why(tmp_path):
    config = ProxyConfig.timm("test_resnet", image_size=16, epochs=50, batch_size=6, learning_rate=1e30)
    path = tmp_path / "training"
    with pytest.raises(
        ElfsError, match=r"failed at step [\d,]+ of 150 \(epoch 1 of 50\): .*learning rate of 1e\+30.*try 1e\+29"
    ):
        train_proxy(random_images(), LABELS, config=config, device="cpu", checkpoint=path, checkpoint_seconds=0)
    kept = torch.load(path, weights_only=True)["state"]
    assert kept["step"] >= 1


def test_weights_that_are_no_numbers_are_named_and_not_the_learning_rate(tmp_path):
    import timm

    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    next(iter(state.values())).fill_(torch.nan)
    torch.save(state, tmp_path / "damaged.pth")
    config = ProxyConfig.timm("test_resnet", image_size=16, batch_size=6, weights=tmp_path / "damaged.pth")
    with pytest.raises(ElfsError, match="failed at step 1 of .*the weights in .*damaged.pth are damaged") as error:
        train_proxy(random_images(), LABELS, config=config, device="cpu")
    assert "rate" not in str(error.value)


def test_where_a_gpu_computes_in_bfloat16_that_may_be_the_cause(monkeypatch):
    monkeypatch.setattr(proxy_training, "matmul_dtype", lambda device: torch.bfloat16)
    training = object.__new__(proxy_training.Training)
    training.config, training.device, training.total, training.per_epoch = SMALL, torch.device("cpu"), 9, 3
    for exact, coarse in ((False, True), (True, False)):
        training._exact = exact
        assert ("or bfloat16 too coarse" in training.failure(2)) is coarse
        assert ("precision='float32'" in training.failure(1)) is coarse
        assert "test_resnet cannot compute these images" in training.failure(1)


# bfloat16 products that go wrong now and then, as those for AMX


@pytest.fixture
def broken_bfloat16(monkeypatch):
    """From the step that is put into the list on, a backward pass in bfloat16 gives a NaN."""
    steps, begin = [], []
    monkeypatch.setattr(proxy_training, "matmul_dtype", lambda device: torch.bfloat16)
    monkeypatch.setattr(proxy_training, "autocast", lambda device: torch.autocast("cpu", torch.bfloat16))
    passes = proxy_training.Training._forward_backward

    def wrong(self, x, labels, count):
        found = passes(self, x, labels, count)
        if not self._exact:
            steps.append(self.step)
            if begin and self.step >= begin[0]:
                next(self.model.parameters()).grad[0] = torch.nan
                for name, buffer in self.model.named_buffers():
                    if name.endswith("running_mean"):
                        buffer.fill_(torch.nan)
        return found

    monkeypatch.setattr(proxy_training.Training, "_forward_backward", wrong)
    return begin, steps


IN_BFLOAT16 = replace(SMALL, image_size=32, precision="auto")
LARGER = random_images(size=32)


def test_what_bfloat16_makes_no_numbers_of_is_computed_in_float32(broken_bfloat16, caplog):
    begin, steps = broken_bfloat16
    begin.append(4)
    details = CancelAt(0)
    with caplog.at_level(logging.WARNING):
        model = fit(LARGER, LABELS, config=IN_BFLOAT16, device="cpu", progress=details)
    assert steps == [0, 1, 2, 3, 4]  # and the others in float32
    assert ["in float32" in detail for detail in details.details] == [False] * 4 + [True] * 5
    assert [text.startswith("bfloat16 products gave values that are not finite") for text in said(caplog)] == [True]
    assert all(value.isfinite().all() for value in model._model.state_dict().values())


def test_a_resumed_training_stays_in_float32(broken_bfloat16, tmp_path):
    begin, steps = broken_bfloat16
    begin.append(1)
    arguments = {"config": IN_BFLOAT16, "device": "cpu", "checkpoint": tmp_path / "training"}
    whole = train_proxy(LARGER, LABELS, **arguments)
    with pytest.raises(Cancelled):
        train_proxy(LARGER, LABELS, progress=CancelAt(4), **arguments)
    steps.clear()
    assert same(train_proxy(LARGER, LABELS, **arguments), whole) and steps == []


def test_sound_bfloat16_is_left_alone(broken_bfloat16, caplog):
    with caplog.at_level(logging.WARNING):
        train_proxy(LARGER, LABELS, config=IN_BFLOAT16, device="cpu")
    assert broken_bfloat16[1] == list(range(9)) and said(caplog) == []


def test_maps_narrower_than_a_stride_are_computed_in_float32(broken_bfloat16, uninterrupted):
    """oneDNN leaves a part of their bfloat16 gradients as the memory was, see the module narrow_maps."""
    for _ in range(3):
        left = [torch.full((size,), torch.nan) for size in (1_000, 83_000, 166_000, 332_000)]
        del left
        found = train_proxy(random_images(), LABELS, config=replace(SMALL, precision="auto"), device="cpu")
        assert same(found, uninterrupted)
    assert broken_bfloat16[1] == []


def test_a_rate_that_is_too_high_stays_the_cause(broken_bfloat16, caplog):
    config = ProxyConfig.timm("test_resnet", image_size=16, epochs=50, batch_size=6, learning_rate=1e30)
    with caplog.at_level(logging.WARNING), pytest.raises(ElfsError, match=r"learning rate of 1e\+30.*try 1e\+29\."):
        train_proxy(random_images(), LABELS, config=config, device="cpu")
    assert len(said(caplog)) <= 1  # float32 may go a step further


def test_a_prediction_that_bfloat16_makes_no_numbers_of_is_made_in_float32(monkeypatch):
    model = fit(random_images(), LABELS, config=SMALL, device="cpu")
    expected = model.predict(random_images())
    forward = model._model.forward

    def wrong(x):
        logits = forward(x)
        return logits * torch.nan if torch.is_autocast_enabled("cpu") else logits

    monkeypatch.setattr(model._model, "forward", wrong)
    monkeypatch.setattr(proxy, "autocast", lambda device: torch.autocast("cpu", torch.bfloat16))
    model._autocast = True
    assert (model.predict(random_images()) == expected).all()


def test_a_gpu_waits_rarely():
    training = object.__new__(proxy_training.Training)
    for device, every in (("cpu", 1), ("cuda", 64)):
        training.device = SimpleNamespace(type=device)
        assert training.every == every
