import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.embedding import unit
from benchmarks.photographs import photographs
from elfs_plugin.encoders import openvino_network, torch_encoder
from elfs_plugin.encoders.embed import WORTHWHILE, embed_images
from elfs_plugin.encoders.openvino_network import OpenVinoNetwork, times_as_fast
from elfs_plugin.encoders.torch_encoder import LEAST_COSINE, TorchEncoder, agree

CPU = torch.device("cpu")
ENGINE = "OpenVINO 1"
ROOT = Path(__file__).resolve().parents[3]


def convolutions():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.GELU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()]
    return torch.nn.Sequential(*layers).eval().requires_grad_(False)


def batch(count, seed=0):
    return torch.randn((count, 3, 16, 16), generator=torch.Generator().manual_seed(seed))


def linear():
    torch.manual_seed(0)
    return torch.nn.Linear(64, 32)


def values(count=16):
    return list(torch.randn((count, 64), generator=torch.Generator().manual_seed(1)))


def test_batches_of_any_size_in_any_thread_give_what_the_network_gives():
    network = convolutions()
    converted = OpenVinoNetwork(network, batch(2), torch.float32)
    batches = [
        batch(size, seed).contiguous(memory_format=torch.channels_last) for seed, size in enumerate((1, 3, 8) * 5)
    ]
    with ThreadPoolExecutor(4) as pool:
        for given, found in zip(batches, pool.map(converted, batches)):
            np.testing.assert_allclose(found.numpy(), network(given).numpy(), rtol=1e-3, atol=1e-4)


def test_a_result_is_not_written_over_by_the_next():
    converted = OpenVinoNetwork(linear(), torch.randn(2, 64), torch.float32)
    first = converted(torch.zeros(3, 64))
    kept = first.clone()
    converted(torch.ones(3, 64))
    assert torch.equal(first, kept)


def test_a_network_with_two_results_is_refused():
    class Two(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    with pytest.raises(ValueError, match="2 results"):
        OpenVinoNetwork(Two(64, 32), torch.randn(2, 64), torch.float32)


def test_a_batch_that_it_fails_on_is_computed_by_the_network(monkeypatch, caplog):
    network = linear().requires_grad_(False)
    converted = OpenVinoNetwork(network, torch.randn(2, 64), torch.float32)

    def fails(batch):
        raise RuntimeError("an odd batch")

    monkeypatch.setattr(converted, "_inferred", fails)
    caplog.set_level("INFO")
    for _ in range(2):
        assert torch.equal(converted(torch.ones(3, 64)), network(torch.ones(3, 64)))
    assert caplog.text.count("an odd batch") == 1
    monkeypatch.setattr(converted, "_inferred", lambda batch: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(MemoryError):
        converted(torch.ones(3, 64))


def test_nothing_is_sent_when_it_is_imported(tmp_path):
    package = tmp_path / "openvino_telemetry"
    package.mkdir()
    (package / "__init__.py").write_text("print('statistics')\n")
    code = (
        "import torch\nfrom elfs_plugin.encoders.openvino_network import OpenVinoNetwork\n"
        "OpenVinoNetwork(torch.nn.Linear(4, 3), torch.zeros(2, 4), torch.float32)\n"
        "print('converted')\nimport openvino_telemetry"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.split() == ["converted", "statistics"], done.stderr


def test_speed_is_the_best_of_rounds_that_alternate(monkeypatch):
    now, order = [0.0], []

    def taking(name, seconds):
        seconds = iter(seconds)

        def compute():
            order.append(name)
            now[0] += next(seconds)

        return compute

    monkeypatch.setattr(openvino_network.time, "process_time", lambda: now[0])
    assert times_as_fast(taking("a", [9, 6, 7, 8]), taking("b", [2, 5, 4, 3])) == 3
    assert order == ["a", "b"] * 4


# The choice


class Doubled:
    """Stands for a converted network: twice as much, which is the same by the cosine."""

    def __init__(self, network, example, dtype):
        assert len(example) == 2 and dtype == torch.float32
        self._network = network

    def __call__(self, given):
        return self._network(given) * 2


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(torch_encoder, "quick_kinds", lambda device: [])
    monkeypatch.setattr(openvino_network, "engine", lambda: ENGINE)
    monkeypatch.setattr(openvino_network, "OpenVinoNetwork", Doubled)
    monkeypatch.setattr(openvino_network, "times_as_fast", lambda one, other: (one(), other(), 1.5)[2])


def settled(count=openvino_network.WORTHWHILE, kept=None):
    encoder = TorchEncoder("linear", linear(), None, CPU)
    encoder.plan(count, kept)
    encoder.settle(values())
    factor = float((encoder.encode(values()) / TorchEncoder("linear", linear(), None, CPU).encode(values())).mean())
    assert factor == pytest.approx(2 if ENGINE in encoder.inference else 1)
    return encoder.inference


def test_it_is_used_where_it_is_quicker(stand_in, monkeypatch):
    assert settled() == f"float32 by {ENGINE}"
    monkeypatch.setattr(openvino_network, "times_as_fast", lambda one, other: 1.1)
    assert settled() == "float32 by PyTorch"


def test_it_is_not_used_for_few_images_on_a_gpu_or_where_it_is_not_installed(stand_in, monkeypatch):
    assert settled(openvino_network.WORTHWHILE - 1) == "float32 by PyTorch"
    with monkeypatch.context() as gpu:
        gpu.setattr(TorchEncoder, "parallel", False)
        assert settled() == "float32 by PyTorch"
    monkeypatch.setattr(openvino_network, "engine", lambda: None)
    assert settled() == "float32 by PyTorch"


def test_what_has_computed_the_kept_vectors_computes_the_others(stand_in, monkeypatch):
    assert settled(10_000, kept="bfloat16 by PyTorch") == settled(10_000, kept="") == "float32 by PyTorch"
    assert settled(10_000, kept="float32 by OpenVINO 0") == "float32 by PyTorch"
    monkeypatch.setattr(openvino_network, "times_as_fast", lambda one, other: 0.5)
    assert settled(1, kept=f"float32 by {ENGINE}") == f"float32 by {ENGINE}"


def test_it_is_not_used_where_the_vectors_are_others(stand_in, monkeypatch):
    class Other(Doubled):
        def __call__(self, given):
            return self._network(given).flip(-1)

    monkeypatch.setattr(openvino_network, "OpenVinoNetwork", Other)
    assert settled() == settled(kept=f"float32 by {ENGINE}") == "float32 by PyTorch"


def test_a_network_that_cannot_be_converted_runs_as_it_is(monkeypatch, caplog):
    class Python(torch.nn.Linear):
        def forward(self, x):
            if torch.jit.is_tracing():
                raise TypeError("nothing to be followed")
            return super().forward(x)

    monkeypatch.setattr(torch_encoder, "quick_kinds", lambda device: [])
    caplog.set_level("INFO")
    encoder = TorchEncoder("python", Python(64, 32), None, CPU)
    exact = encoder.encode(values())
    encoder.plan(openvino_network.WORTHWHILE, None)
    encoder.settle(values())
    assert np.array_equal(encoder.encode(values()), exact) and encoder.inference == "float32 by PyTorch"
    assert caplog.text.count("cannot be computed by OpenVINO") == 1


def test_real_images_give_the_vectors_of_the_plain_way(tmp_path, monkeypatch):
    import timm

    monkeypatch.setattr(torch_encoder, "quick_kinds", lambda device: [])
    monkeypatch.setattr(openvino_network, "WORTHWHILE", WORTHWHILE)
    monkeypatch.setattr(openvino_network, "FASTER", 0.0)
    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False, num_classes=0)
    transform = timm.data.create_transform(input_size=(3, 160, 160), is_training=False)
    encoder = TorchEncoder("random", model, transform, CPU)
    paths = photographs(tmp_path, WORTHWHILE, sides=(60, 200))
    few = embed_images(paths[: WORTHWHILE - 1], encoder)
    assert few.provenance.inference == "float32 by PyTorch"
    many = embed_images(paths, encoder)
    assert many.provenance.inference == f"float32 by {openvino_network.engine()}"
    assert not np.array_equal(few.vectors, many.vectors[:-1]) and agree(few.vectors, many.vectors[:-1])
    assert (unit(few.vectors) * unit(many.vectors[:-1])).sum(axis=1).min() >= LEAST_COSINE


def test_few_images_beside_vectors_of_it_are_computed_by_it(tmp_path, monkeypatch):
    import timm

    monkeypatch.setattr(torch_encoder, "quick_kinds", lambda device: [])
    torch.manual_seed(0)
    model = timm.create_model("test_vit", pretrained=False, num_classes=0)
    transform = timm.data.create_transform(input_size=(3, 160, 160), is_training=False)
    encoder = TorchEncoder("random", model, transform, CPU)
    paths = photographs(tmp_path, 4, sides=(60, 200))
    made = f"float32 by {openvino_network.engine()}"
    assert embed_images(paths, encoder, beside=made).provenance.inference == made
    for other in ("float32 by OpenVINO 0", "bfloat16 by PyTorch", "", None):
        assert embed_images(paths, encoder, beside=other).provenance.inference == "float32 by PyTorch"
