import numpy as np
import pytest
import torch

from elfs_plugin.beta_search.search import search_beta
from elfs_plugin.gpu_memory import CPU, free_bytes, or_on_cpu
from elfs_plugin.proxy import mlp
from elfs_plugin.proxy.config import ProxyConfig

pytestmark = pytest.mark.usefixtures("one_thread")

FULL = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")
GPU = torch.device("meta")  # a device that is not the CPU


def test_what_fits_stays_on_the_gpu(caplog):
    assert or_on_cpu(GPU, lambda device: device, "It") == GPU
    assert not caplog.text


def test_what_does_not_fit_goes_on_on_the_cpu_and_that_is_said_once(caplog):
    tried = []

    def work(device):
        tried.append(device)
        if device == GPU:
            raise FULL
        return "done"

    assert or_on_cpu(GPU, work, "The work") == "done" and tried == [GPU, CPU]
    assert [record.message for record in caplog.records] == [
        "The work does not fit into the memory of meta (CUDA out of memory. Tried to allocate 2 GiB): "
        "it goes on on the CPU."
    ]


def test_a_full_main_memory_and_other_errors_are_raised():
    def work(error):
        def raises(device):
            raise error

        return raises

    with pytest.raises(torch.cuda.OutOfMemoryError):
        or_on_cpu(CPU, work(FULL), "It")
    with pytest.raises(ValueError):
        or_on_cpu(GPU, work(ValueError("else")), "It")


def test_free_memory_of_a_gpu_counts_what_is_kept_for_reuse(monkeypatch):
    assert free_bytes(CPU, 7) == 7
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 50)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert free_bytes(torch.device("cuda"), 7) == 130


# Stages on embeddings


def vectors_and_labels(n=60):
    labels = np.arange(n) % 3
    return np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32) + np.eye(3, 6)[labels], labels


def full_gpu(monkeypatch):
    """``"cpu:0"`` plays a GPU with no memory left."""
    place, refused = mlp.Standardised.__init__, []

    def refuse(self, inputs, device, *rest):
        if device.index is not None:
            refused.append(device)
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        place(self, inputs, device, *rest)

    monkeypatch.setattr(mlp.Standardised, "__init__", refuse)
    return refused


def test_the_mlp_proxy_goes_to_the_cpu(monkeypatch, caplog):
    vectors, labels = vectors_and_labels()
    config = ProxyConfig.mlp(epochs=2)
    usual = mlp.train(vectors, labels, config=config, device="cpu")
    refused = full_gpu(monkeypatch)
    found = mlp.train(vectors, labels, config=config, device="cpu:0")
    assert refused and np.array_equal(found.aum, usual.aum)
    assert caplog.text.count("it goes on on the CPU") == 1


def test_the_beta_search_on_embeddings_goes_to_the_cpu(monkeypatch, caplog):
    vectors, labels = vectors_and_labels()
    given = (vectors, labels, np.arange(60.0), 20)
    settings = {"repeats": 1, "config": ProxyConfig.mlp(steps=3, members=1, left_out=0)}
    usual = search_beta(*given, device="cpu", **settings)
    refused = full_gpu(monkeypatch)
    found = search_beta(*given, device="cpu:0", **settings)
    assert refused and np.array_equal(found.accuracies, usual.accuracies)
    assert caplog.text.count("it goes on on the CPU") == 1


def test_fewer_networks_at_once_when_the_memory_is_full(monkeypatch, caplog):
    vectors, labels = vectors_and_labels()
    data, config = mlp.Standardised(vectors, CPU), ProxyConfig.mlp(steps=3)
    subsets = np.stack([np.random.default_rng(k).permutation(60)[:20] for k in range(7)])
    usual = mlp.fit_subsets(data, labels, subsets, 3, config, list(range(7)))
    group, sizes = mlp._fit_group, []

    def limited(data, targets, subsets, *rest):
        sizes.append(len(subsets))
        if len(subsets) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return group(data, targets, subsets, *rest)

    monkeypatch.setattr(mlp, "_fit_group", limited)
    found = mlp.fit_subsets(data, labels, subsets, 3, config, list(range(7)))
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    rows = np.arange(60)
    assert (found.predict(rows, range(7)) == usual.predict(rows, range(7))).all()
    assert caplog.text.count("fewer proxies are trained at once") == 1
