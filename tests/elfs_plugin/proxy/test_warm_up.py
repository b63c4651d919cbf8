import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.proxy.mlp import EnsembleConfig
from elfs_plugin.proxy.warm_up import train_outputs, with_outputs
from elfs_plugin.selectors import Pool, select
from tests import helpers

CONFIG = EnsembleConfig(epochs=6, batch_size=32, hidden=16, learning_rate=0.1)


def blobs(n=301):
    """Three clusters that overlap a little, and five coordinates that say nothing."""
    vectors, labels = helpers.blobs(n, 3, dim=3, distance=4, noise=1.0)
    silent = np.random.default_rng(1).normal(size=(n, 5))
    return np.concatenate([vectors, silent], axis=1).astype("f4"), labels


def test_wrong_labels_have_high_loss_and_gradient():
    vectors, labels = blobs()
    wrong = np.zeros(len(labels), dtype=bool)
    wrong[::10] = True
    given = np.where(wrong, (labels + 1) % 3, labels)
    found = train_outputs(vectors, given, config=CONFIG)
    assert found.probabilities.sum(axis=1) == pytest.approx(np.ones(len(labels)), abs=1e-5)
    assert (found.probabilities.argmax(axis=1) == labels).mean() > 0.9
    for score in (found.loss, found.grand):
        assert np.median(score[wrong]) > 3 * np.median(score[~wrong])
    pool = Pool(np.arange(len(labels)), embeddings=vectors, labels=given)
    pool = with_outputs(pool, config=CONFIG)
    assert wrong[select("grand", pool, 20).indices].mean() > 0.8
    assert not wrong[select("small_loss", pool, 200).indices].any()


def test_the_closed_form_is_the_norm_of_the_gradient():
    import torch

    from elfs_plugin.proxy import warm_up
    from elfs_plugin.proxy.mlp import Networks, Standardised, Subsets

    vectors, labels = blobs(8)
    data = Standardised(vectors, torch.device("cpu"), dtype=torch.float32)
    networks = Networks(8, 4, 3, [1, 2], torch.device("cpu"))
    with torch.no_grad():
        networks.second.normal_(generator=torch.Generator().manual_seed(0))
    nobody = np.zeros((2, 0), dtype=np.int64)  # both networks count for all samples
    found = warm_up._look(Subsets([([0, 1], networks)], data), data, nobody, labels, 3, lambda *_: None)
    for i in range(8):
        norms = []
        for member in range(2):
            networks.zero_grad()
            logits = networks(data.take(torch.tensor([i])))[member]
            torch.nn.functional.cross_entropy(logits, torch.tensor([labels[i]])).backward()
            parts = (networks.second.grad[member], networks.second_bias.grad[member])
            norms.append(float(torch.cat([p.flatten() for p in parts]).norm()))
        assert found.grand[i] == pytest.approx(np.mean(norms), rel=0.02)  # products may run in bfloat16


def test_bound_to_ids_and_seeded():
    vectors, labels = blobs(60)
    ids = np.array([f"{i:03}" for i in range(60)])
    order = np.random.default_rng(1).permutation(60)
    one = train_outputs(vectors, labels, ids=ids, config=CONFIG)
    turned = train_outputs(vectors[order], labels[order], ids=ids[order], config=CONFIG)
    assert turned.loss == pytest.approx(one.loss[order], rel=1e-4)
    assert not np.allclose(train_outputs(vectors, labels, config=CONFIG, seed=1).loss, one.loss)


def test_bad_input():
    vectors, labels = blobs(10)
    with pytest.raises(InvalidInput, match="two samples at least"):
        train_outputs(vectors[:1], labels[:1])
    with pytest.raises(InvalidInput, match="of two classes at least"):
        train_outputs(vectors, np.zeros(10, dtype=int))
    with pytest.raises(InvalidInput, match="needs embeddings, and labels"):
        with_outputs(Pool(np.arange(10), embeddings=vectors))
