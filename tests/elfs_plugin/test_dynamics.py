import math

import numpy as np
import pytest
import torch

from elfs_plugin.dynamics import EL2N_EPOCHS, HARD_WHEN, Recorder, margin


def record(epochs, labels):
    """Feeds ``epochs``, a list of (N, C) logits, one whole batch each."""
    labels = np.asarray(labels)
    recorder = Recorder(len(labels))
    for logits in epochs:
        recorder.update(np.arange(len(labels)), np.asarray(logits, dtype=np.float64), labels)
    return recorder.finalize()


def logits_of(*probabilities):
    return np.log(np.array(probabilities))


RIGHT, WRONG = [2.0, 0.0], [0.0, 2.0]  # logits of a sample with label 0


def test_margin_leaves_the_own_class_out():
    values = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]])
    assert margin(values, torch.tensor([0, 1])).tolist() == [1.0, -2.0]


def test_aum_is_the_sum_of_probability_margins_and_the_mean_of_logit_margins():
    # Label 0. Probabilities (0.7, 0.2, 0.1) then (0.3, 0.6, 0.1): margins 0.5 and -0.3, sum 0.2.
    # Logits shifted by 5 (which no softmax sees): margins log 3.5 and log 0.5, mean log(1.75) / 2.
    epochs = [logits_of([0.7, 0.2, 0.1]) + 5, logits_of([0.3, 0.6, 0.1])]
    dynamics = record(epochs, [0])
    assert dynamics.aum == pytest.approx([0.2])
    assert dynamics.aum_logit == pytest.approx([math.log(1.75) / 2])
    assert dynamics.epochs == 2


def test_the_two_aums_can_order_differently():
    # A saturates at once; B is moderately right twice.
    a, b = [10.0, 0.0], [1.0, 0.0]
    epochs = [[a, b], [[-2.0, 0.0], b]]
    dynamics = record(epochs, [0, 0])
    assert dynamics.aum[0] < dynamics.aum[1]
    assert dynamics.aum_logit == pytest.approx([4.0, 1.0])


def test_aum_stays_within_the_number_of_epochs():
    dynamics = record([[[50.0, 0.0], [0.0, 50.0]]] * 4, [0, 0])
    assert dynamics.aum == pytest.approx([4.0, -4.0])


@pytest.mark.parametrize(
    ("history", "forgotten", "correct"),
    [
        ("RRRRRR", 0, 6),
        ("WWWRRR", 0, 3),  # learnt late, never forgotten
        ("RWRWRW", 3, 3),
        ("RWWWWW", 1, 1),
        ("WRWWRW", 2, 2),
        ("WWWWWW", 6, 0),  # never learnt: E, the hardest
    ],
)
def test_forgetting_and_correctness(history, forgotten, correct):
    dynamics = record([[RIGHT if letter == "R" else WRONG] for letter in history], [0])
    assert dynamics.forgetting.tolist() == [forgotten]
    assert dynamics.correctness.tolist() == [correct]


def test_a_sample_never_learnt_is_the_hardest_by_forgetting():
    histories = ["RWRWRW", "WWWWWW", "RRRRRR", "WRWRWR"]
    epochs = [[RIGHT if h[e] == "R" else WRONG for h in histories] for e in range(6)]
    dynamics = record(epochs, [0] * 4)
    assert dynamics.forgetting.tolist() == [3, 6, 0, 2]
    assert HARD_WHEN["forgetting"] == "high" and dynamics.forgetting.argmax() == 1


def test_el2n_by_hand_and_only_over_the_first_ten_epochs():
    # p = (0.6, 0.4), label 0: ||(-0.4, 0.4)|| = 0.4 sqrt 2.
    one = logits_of([0.6, 0.4])
    assert record([one], [0]).el2n == pytest.approx([0.4 * math.sqrt(2)])
    assert record([one] * 3, [0]).el2n == pytest.approx([3 * 0.4 * math.sqrt(2)])
    bad = logits_of([0.01, 0.99])
    dynamics = record([one] * EL2N_EPOCHS + [bad] * 5, [0])
    assert EL2N_EPOCHS == 10
    assert dynamics.el2n == pytest.approx([10 * 0.4 * math.sqrt(2)])
    assert dynamics.correctness.tolist() == [10] and dynamics.epochs == 15


def test_entropy_is_that_of_the_last_epoch():
    sure, even = logits_of([0.9, 0.1]), logits_of([0.5, 0.5])
    assert record([sure, even], [0]).entropy == pytest.approx([math.log(2)])
    assert record([even, sure], [0]).entropy == pytest.approx([-(0.9 * math.log(0.9) + 0.1 * math.log(0.1))])


def test_extreme_logits_stay_finite():
    dynamics = record([[[1e4, -1e4], [-1e4, 1e4]]], [0, 0])
    assert dynamics.entropy == pytest.approx([0.0, 0.0])
    assert dynamics.aum == pytest.approx([1.0, -1.0])
    assert dynamics.el2n == pytest.approx([0.0, math.sqrt(2)])
    assert all(np.isfinite(getattr(dynamics, name)).all() for name in HARD_WHEN)


def test_batches_in_any_order_give_the_same_as_whole_epochs():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 20)
    epochs = rng.normal(size=(4, 20, 3))
    whole = record(epochs, labels)
    recorder = Recorder(20)
    for logits in epochs:
        for batch in np.array_split(rng.permutation(20), 3):
            recorder.update(batch, logits[batch], labels[batch])
    streamed = recorder.finalize()
    for name in HARD_WHEN:
        np.testing.assert_allclose(getattr(streamed, name), getattr(whole, name))
        assert getattr(streamed, name).shape == (20,) and getattr(streamed, name).dtype == np.float64


def test_every_score_calls_the_mislabelled_sample_hard():
    # Three samples learnt from the start, one always taken for the other class, with the rest a little unsure.
    epochs = [[[4.0, 0.0], [3.0, 0.0], [0.0, 3.5], [1.0, 2.0]]] * 5
    dynamics = record(epochs, [0, 0, 1, 0])
    for name, hard in HARD_WHEN.items():
        scores = getattr(dynamics, name)
        assert (scores.argmin() if hard == "low" else scores.argmax()) == 3, name
