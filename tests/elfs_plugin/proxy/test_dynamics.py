import math

import numpy as np
import pytest
import torch

from elfs_plugin.proxy.dynamics import DUAL_EPOCHS, DUAL_WINDOW, EL2N_EPOCHS, HARD_WHEN, Dynamics, Recorder, margin


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


def test_every_score_but_dual_calls_the_mislabelled_sample_hard():
    # Three samples learnt from the start, one always taken for the other class, with the rest a little unsure.
    epochs = [[[4.0, 0.0], [3.0, 0.0], [0.0, 3.5], [1.0, 2.0]]] * 5
    dynamics = record(epochs, [0, 0, 1, 0])
    for name, hard in HARD_WHEN.items():
        if name == "dual":
            continue
        scores = getattr(dynamics, name)
        assert (scores.argmin() if hard == "low" else scores.argmax()) == 3, name


def history(probabilities):
    """Epochs of one sample with label 0 of two classes whose p_y is given."""
    return [[[math.log(p / (1 - p)), 0.0]] for p in probabilities]


def test_dual_of_a_short_training_is_one_window():
    # p = 0.2, 0.4, 0.6: sample standard deviation 0.2, mean 0.4, so 0.2 * 0.6.
    dynamics = record(history([0.2, 0.4, 0.6]), [0])
    assert dynamics.dual == pytest.approx([0.12]) and dynamics.dual_window == 3
    one = record(history([0.3]), [0])
    assert one.dual.tolist() == [0.0] and one.dual_window == 1


def test_dual_slides_a_window_of_ten_over_thirty_epochs():
    assert (DUAL_WINDOW, DUAL_EPOCHS) == (10, 30)
    p = np.random.default_rng(0).uniform(0.05, 0.95, 40)
    windows = [p[i : i + 10] for i in range(21)]
    expected = np.mean([w.std(ddof=1) * (1 - w.mean()) for w in windows])
    dynamics = record(history(p), [0])
    assert dynamics.dual == pytest.approx([expected], rel=1e-5) and dynamics.dual_window == 10
    assert record(history(p[:30]), [0]).dual == pytest.approx([expected], rel=1e-5)
    twelve = np.mean([w.std(ddof=1) * (1 - w.mean()) for w in windows[:3]])
    assert record(history(p[:12]), [0]).dual == pytest.approx([twelve], rel=1e-5)


def test_dual_prefers_what_is_learnt_late_to_the_easy_and_the_never_learnt():
    late = np.linspace(0.05, 0.95, 30)
    epochs = [[[math.log(p / (1 - p)), 0.0], [4.0, 0.0], [-4.0, 0.0]] for p in late]
    dynamics = record(epochs, [0, 0, 0])
    assert HARD_WHEN["dual"] == "high" and dynamics.dual.argmax() == 0
    assert dynamics.dual[1:] == pytest.approx([0.0, 0.0], abs=1e-6)


def test_an_ensemble_is_the_mean_of_its_members():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 20)
    epochs = rng.normal(size=(12, 2, 20, 3))
    recorder = Recorder(20, members=2)
    for logits in epochs:
        for batch in np.array_split(rng.permutation(20), 3):
            recorder.update(batch, logits[:, batch], labels[batch])
    both = recorder.finalize()
    one, two = record(epochs[:, 0], labels), record(epochs[:, 1], labels)
    for name in HARD_WHEN:
        expected = (getattr(one, name) + getattr(two, name)) / 2
        np.testing.assert_allclose(getattr(both, name), expected, rtol=1e-6, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(both.aum_spread, np.abs(one.aum - two.aum) / 2)
    assert both.epochs == 12 and (one.aum_spread == 0).all()


def test_only_the_members_that_count_are_counted():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 6)
    epochs = rng.normal(size=(4, 3, 6, 3))
    counted = np.array([[True] * 6, [False] * 6, [True, False] * 3])
    recorder = Recorder(6, members=3)
    for logits in epochs:
        recorder.update(np.arange(6), logits, labels, counted)
    result = recorder.finalize()
    one, three = record(epochs[:, 0], labels), record(epochs[:, 2], labels)
    for name in HARD_WHEN:
        first, last = getattr(one, name), getattr(three, name)
        expected = np.where([True, False] * 3, (first + last) / 2, first)
        np.testing.assert_allclose(getattr(result, name), expected, rtol=1e-6, atol=1e-9, err_msg=name)
    assert (result.aum_spread[1::2] == 0).all() and (result.aum_spread[::2] > 0).all()


def test_results_stored_before_a_score_existed_can_be_read():
    old = {name: np.zeros(3) for name in HARD_WHEN if name != "dual"}
    dynamics = Dynamics(**old, epochs=np.array(7))
    assert dynamics.epochs == 7 and type(dynamics.epochs) is int
    assert np.isnan(dynamics.dual).all() and dynamics.aum_spread.shape == (3,)
