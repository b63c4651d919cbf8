import numpy as np
import pytest
import torch

from benchmarks.relabel import RelabelConfig, consistency_loss, relabel_accuracy, sop_loss, train_relabeller
from elfs_plugin.errors import ElfsError, InvalidInput


def noisy_blobs(n=600, share=0.4, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    vectors = np.concatenate([np.eye(3)[truth] * 3, np.zeros((n, 20))], axis=1) + rng.normal(size=(n, 23))
    given = np.where(rng.random(n) < share, rng.integers(3, size=n), truth)
    return vectors.astype("f4"), given, truth


def test_the_loss_by_hand():
    config = RelabelConfig(balance=0.0)
    logits, target = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    zero = sop_loss(logits, target, torch.zeros(1, 1), torch.zeros(1, 2), config)
    assert float(zero) == pytest.approx(np.log(2))  # the hard prediction is class 0: no squared error
    # u² = 0.5: (0.5 + 0.5) / 1.5; v² = 0.25 against class 1: 0.25 / 1.25 left of it; squared error 0.5² + 0.25².
    both = sop_loss(logits, target, torch.tensor([[0.5**0.5]]), torch.tensor([[9.0, 0.5]]), config)
    assert float(both) == pytest.approx(-np.log(1.0 / 1.25) + 0.25 + 0.0625, rel=1e-5)
    balanced = sop_loss(logits, target, torch.zeros(1, 1), torch.zeros(1, 2), RelabelConfig(balance=0.1))
    assert float(balanced) == pytest.approx(1.1 * np.log(2))


def test_v_learns_by_the_squared_error_alone_and_u_by_both():
    u, v = torch.tensor([[0.5]], requires_grad=True), torch.tensor([[0.3, 0.3]], requires_grad=True)
    sop_loss(torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]]), u, v, RelabelConfig(balance=0.0)).backward()
    # Hard prediction 1: (0 + u² - 1)² + (1 - v1²)², whose derivative by v1 is -4 v1 (1 - v1²).
    assert v.grad[0].tolist() == pytest.approx([0.0, -4 * 0.3 * (1 - 0.09)], rel=1e-5)
    assert float(u.grad) < 0


def test_the_consistency_by_hand():
    logits, other = torch.tensor([[0.0, 0.0]], requires_grad=True), torch.tensor([[0.0, 3.0]], requires_grad=True)
    q = 1 / (1 + np.exp(3.0))
    loss = consistency_loss(logits, other)
    assert loss.item() == pytest.approx(0.5 * np.log(0.5 / q) + 0.5 * np.log(0.5 / (1 - q)), rel=1e-5)
    loss.backward()
    assert logits.grad is None and other.grad[0].tolist() == pytest.approx([q - 0.5, 0.5 - q], rel=1e-5)


def test_consistent_views_mend_more():
    vectors, given, truth = noisy_blobs(share=0.5)
    rows, held_out = np.arange(400), np.arange(400, 600)
    mended = [
        np.mean(
            [
                relabel_accuracy(
                    vectors,
                    given,
                    rows,
                    held_out,
                    truth,
                    3,
                    seed=seed,
                    config=RelabelConfig(steps=300, hidden=64, consistency=weight),
                )
                for seed in range(3)
            ],
            axis=0,
        )
        for weight in (0.0, 0.9)
    ]
    assert (mended[1] > mended[0]).all()


def test_wrong_labels_are_mended():
    vectors, given, truth = noisy_blobs()
    rows, held_out = np.arange(400), np.arange(400, 600)
    config = dict(steps=400, hidden=64)
    mended = relabel_accuracy(vectors, given, rows, held_out, truth, 3, config=RelabelConfig(**config))
    plain = relabel_accuracy(
        vectors, given, rows, held_out, truth, 3, config=RelabelConfig(**config, over_parameterised=False)
    )
    assert mended[1] > (given == truth)[rows].mean() + 0.1
    assert mended[0] > plain[0] and mended[1] > plain[1]


def test_seeded_and_bounded():
    vectors, given, _ = noisy_blobs(60)
    config = RelabelConfig(steps=5)
    one, same = (train_relabeller(vectors, given, np.arange(40), 3, config=config).predict(np.arange(60)) for _ in "ab")
    assert (one == same).all() and one.shape == (60,)
    with pytest.raises(InvalidInput, match="labels from 0 to 1"):
        train_relabeller(vectors, given, np.arange(40), 2)
    with pytest.raises(InvalidInput, match="steps must be at least 1"):
        RelabelConfig(steps=0)
    with pytest.raises(InvalidInput, match="consistency must be at least 0"):
        RelabelConfig(consistency=-1)
    with pytest.raises(ElfsError, match="lower its learning rates"):
        train_relabeller(vectors, given, np.arange(40), 3, config=RelabelConfig(steps=50, learning_rate=1e30))
