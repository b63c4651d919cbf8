"""Captured steps, with a backend that records and replays on the CPU; and CUDA graphs where there is a GPU."""

import contextlib
import gc
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from elfs_plugin import captured_step, cuda_streams
from elfs_plugin.captured_step import CapturedStep
from elfs_plugin.clustering.pseudo_labels import ClusteringConfig, cluster
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.proxy.config import ProxyConfig
from elfs_plugin.proxy.mlp import train
from elfs_plugin.proxy.train import train_proxy
from elfs_plugin.training_loop import set_rate

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


class Played:
    """As on a GPU: what is captured is not computed, and a replay reads and writes the tensors of the capture."""

    def __init__(self, error=None):
        self.warmed, self.captured, self.replayed, self.error = 0, 0, 0, error

    def warm_up(self, step, inputs):
        self.warmed += 1
        return step(*inputs)

    def capture(self, step, inputs):
        if self.error is not None:
            raise self.error
        self.captured += 1
        held, result = [x.clone() for x in inputs], None

        def replay(*given):
            nonlocal result
            self.replayed += 1
            for place, x in zip(held, given):
                place.copy_(x)
            out = step(*held)
            result = out.clone() if result is None else result.copy_(out)
            return result.clone()

        return replay


@pytest.fixture
def played(monkeypatch):
    backend = Played()
    monkeypatch.setattr(captured_step, "backend_for", lambda device: backend)
    return backend


def line():
    """A line that is fitted: its parameters, the optimiser and a step."""
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, fused=True)

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        loss = (x * weight[0] + weight[1] - y).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return weight, optimizer, step


def fitted(steps=20, expected=1000, sizes=(8,)):
    weight, optimizer, step = line()
    captured, losses = CapturedStep(step, CPU, optimizer, expected), []
    rng = torch.Generator().manual_seed(0)
    for number in range(steps):
        set_rate(optimizer, 0.1 / (1 + number))
        x = torch.rand(sizes[number % len(sizes)], generator=rng)
        losses.append(captured(x, 3 * x - 1))
    return weight.detach(), torch.stack(losses)


def test_replayed_steps_are_the_same_steps(monkeypatch):
    expected = fitted()
    backend = Played()
    monkeypatch.setattr(captured_step, "backend_for", lambda device: backend)
    found = fitted()
    # The learning rate changes with every step: a replay reads the one that is set.
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])
    assert (backend.warmed, backend.captured, backend.replayed) == (3, 1, 17)


def test_every_shape_has_a_graph_up_to_a_number(played):
    fitted(steps=60, sizes=(4, 5, 6))
    assert (played.warmed, played.captured) == (9, 3)
    fitted(steps=60, sizes=(4, 5, 6, 7, 8, 9))
    assert played.captured == 3 + captured_step.MOST_SHAPES


def test_short_trainings_and_cpus_capture_nothing(played, monkeypatch):
    fitted(expected=captured_step.FEWEST_STEPS - 1)
    assert played.warmed == 0
    monkeypatch.undo()
    assert captured_step.backend_for(CPU) is None


def test_a_step_that_cannot_be_captured_runs_as_it_is_and_that_is_said_once(monkeypatch, caplog):
    expected = fitted()
    for error in (
        RuntimeError("operation not permitted when stream is capturing"),
        RuntimeError("CUDA error: operation would make the legacy stream depend on a capturing blocking stream"),
        torch.OutOfMemoryError("CUDA out of memory"),
    ):
        caplog.clear()
        monkeypatch.setattr(captured_step, "backend_for", lambda device, error=error: Played(error))
        torch.testing.assert_close(fitted()[0], expected[0])
        assert caplog.text.count("not captured as a CUDA graph") == 1


def test_graphs_are_freed_when_the_training_ends(played):
    weight, optimizer, step = line()
    captured = CapturedStep(step, CPU, optimizer, 1000)
    for _ in range(6):
        captured(torch.ones(2), torch.ones(2))
    assert played.replayed == 3 and captured.active
    captured.close()
    captured(torch.ones(2), torch.ones(2))
    assert played.replayed == 3 and not captured.active and not captured._graphs


def test_a_gpu_that_fails_is_no_reason_to_go_on_without(monkeypatch):
    error = RuntimeError("CUDA error: unspecified launch failure")
    monkeypatch.setattr(captured_step, "backend_for", lambda device: Played(error))
    with pytest.raises(RuntimeError, match="launch failure"):
        fitted()


# The backend for CUDA, beside a PyTorch that only notes what it is told


class Noted:
    """Takes the place of ``torch.cuda``: what would be captured is kept, and replayed on the CPU."""

    def __init__(self, monkeypatch, fails=None):
        self.said, self.current, self.fails = [], "the caller's", fails
        monkeypatch.setattr(cuda_streams, "_free", {})
        for name in ("Stream", "CUDAGraph", "graph", "graph_pool_handle", "current_stream", "set_stream", "stream"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(
            torch.Tensor, "record_stream", lambda tensor, stream: self.said.append(f"kept for {stream}")
        )

    def Stream(self, device):
        return Noted.OfStream(self)

    class OfStream:
        def __init__(self, noted):
            self.noted = noted

        def wait_stream(self, other):
            self.noted.said.append("the side stream waits")

        def __str__(self):
            return "the side stream"

    def CUDAGraph(self):
        return SimpleNamespace(replay=lambda: self.said.append("replay"))

    @contextlib.contextmanager
    def graph(self, graph, *, pool, stream, capture_error_mode):
        assert (pool, str(stream), capture_error_mode) == ("a pool", "the side stream", "thread_local")
        self.current = stream
        if self.fails is not None:
            raise self.fails
        yield
        self.current = "the caller's"

    def graph_pool_handle(self):
        return "a pool"

    def current_stream(self, device):
        return SimpleNamespace(wait_stream=lambda other: self.said.append("the caller waits"), name=self.current)

    def set_stream(self, stream):
        self.current = stream.name

    def stream(self, stream):
        return contextlib.nullcontext()


def test_cuda_warms_up_on_a_stream_of_its_own_captures_and_replays(monkeypatch):
    noted = Noted(monkeypatch)
    backend = captured_step._Cuda(torch.device("cuda"))
    given = torch.arange(3.0)
    assert backend.warm_up(lambda x: x + 1, [given]).tolist() == [1, 2, 3]
    assert noted.said[:2] == ["the side stream waits", "the caller waits"] and "kept for the side stream" in noted.said
    taken = []
    replay = backend.capture(lambda x: taken.append(x) or x + 1, [given])
    assert taken[0] is not given and torch.equal(taken[0], given) and noted.current == "the caller's"
    first, second = replay(torch.full((3,), 7.0)), replay(torch.full((3,), 8.0))
    assert taken[0].tolist() == [8, 8, 8] and noted.said.count("replay") == 2 and len(taken) == 1
    assert first is not second


def test_a_capture_that_fails_leaves_the_callers_stream(monkeypatch):
    noted = Noted(monkeypatch, fails=RuntimeError("capturing is not permitted"))
    backend = captured_step._Cuda(torch.device("cuda"))
    with pytest.raises(RuntimeError, match="capturing"):
        backend.capture(lambda x: x, [torch.ones(1)])
    assert noted.current == "the caller's"


def test_the_stream_is_given_back_with_the_backend(monkeypatch):
    Noted(monkeypatch)
    backend = captured_step._Cuda(torch.device("cuda"))
    stream = backend._stream
    del backend
    gc.collect()
    assert cuda_streams._free[torch.device("cuda")] == [stream]


# The trainings that use it


def vectors_and_labels(n=90, classes=3):
    labels = np.arange(n) % classes
    noise = np.random.default_rng(0).normal(size=(n, 8)).astype(np.float32)
    return noise + 2 * np.eye(classes, 8, dtype=np.float32)[labels], labels


def close(one, other):
    return np.allclose(one.aum, other.aum, atol=1e-3) and np.allclose(one.el2n, other.el2n, atol=1e-3)


def test_an_mlp_proxy(monkeypatch):
    vectors, labels = vectors_and_labels()
    # Batches of two sizes: 90 in 4 parts are 23 and 22.
    config = ProxyConfig.mlp(epochs=12, batch_size=25)
    usual = train(vectors, labels, config=config, device="cpu")
    backend = Played()
    monkeypatch.setattr(captured_step, "backend_for", lambda device: backend)
    assert close(train(vectors, labels, config=config, device="cpu"), usual)
    assert backend.captured == 2 and backend.replayed == 48 - backend.warmed


@pytest.mark.parametrize("kind", ["resnet8", "timm"])
def test_a_proxy_on_images(kind, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 16, 16), dtype=np.uint8)
    settings = {"epochs": 12, "batch_size": 6, "learning_rate": 0.01, "precision": "float32"}
    config = (
        ProxyConfig.resnet8(members=2, **settings)
        if kind == "resnet8"
        else ProxyConfig.timm("test_resnet", image_size=16, **settings)
    )
    labels = np.arange(20) % 3
    usual = train_proxy(images, labels, config=config, device="cpu")
    backend = Played()
    monkeypatch.setattr(captured_step, "backend_for", lambda device: backend)
    found = train_proxy(images, labels, config=config, device="cpu")
    # Batches of 6, 6, 6 and 2: the last one of each epoch runs as it is.
    assert (backend.captured, backend.warmed + backend.replayed) == (1, 36)
    assert close(found, usual) and found.epochs == 12


def test_clustering(monkeypatch):
    vectors, _ = vectors_and_labels(200)
    graph = knn_graph(vectors, 8, device="cpu")
    config = ClusteringConfig(heads=3, min_steps=60, max_steps=60, warm_start_steps=10, batch_size=64)
    usual = cluster(vectors, graph, 3, config=config, device="cpu")
    backend = Played()
    monkeypatch.setattr(captured_step, "backend_for", lambda device: backend)
    found = cluster(vectors, graph, 3, config=config, device="cpu")
    assert (found.labels == usual.labels).mean() > 0.99
    np.testing.assert_allclose(found.head_losses, usual.head_losses, rtol=0.02, atol=0.02)
    assert backend.captured == 1 and backend.replayed == 57


@needs_gpu
def test_a_cuda_graph_agrees_with_plain_steps(monkeypatch, caplog):
    vectors, labels = vectors_and_labels()
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)
    on_images = ProxyConfig.resnet8(epochs=12, batch_size=8, learning_rate=0.01, precision="float32")
    calls = (
        lambda: train(vectors, labels, config=ProxyConfig.mlp(epochs=40), device="cuda"),
        lambda: train_proxy(images, np.arange(40) % 3, config=on_images, device="cuda"),
    )
    found = [call() for call in calls]
    assert "not captured" not in caplog.text
    monkeypatch.setattr(captured_step, "FEWEST_STEPS", 10**9)
    for captured, call in zip(found, calls):
        plain = call()
        assert np.corrcoef(captured.aum, plain.aum)[0, 1] > 0.99
