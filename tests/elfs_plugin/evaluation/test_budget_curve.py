import json

import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.evaluation import budget_curve as module
from elfs_plugin.evaluation.budget_curve import BudgetCurve, budget_curve, default_budgets
from elfs_plugin.pruning.usual_beta import prior_beta
from tests.helpers import blobs


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    monkeypatch.setattr(module, "STEPS", 30)


def scored(n=80, noise=0.3):
    """Blobs, their clusters and random scores."""
    return *blobs(n, noise=noise), np.random.default_rng(1).normal(size=n)


def curve(coreset, random=None):
    coreset = np.asarray(coreset, dtype=float)
    budgets = np.array([10, 20, 50, 100])[: len(coreset)]
    return BudgetCurve(100, budgets, np.zeros(len(coreset)), coreset, coreset if random is None else np.array(random))


def test_enough_by_hand():
    # Best is .90 at 100. At 50 the differences are .05 and -.01: mean .02, within their sd .03. At 20 .10 and .08: not.
    found = curve(
        [[0.5, 0.5], [0.82, 0.80], [0.87, 0.89], [0.92, 0.88]], [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3], [0.9, 0.9]]
    )
    assert (found.enough, found.enough_random) == (50, 100)
    assert found.sentence.startswith(
        "50 images (50.0%) are enough: 88.0%, not clearly worse than the best (90.0% at 100)"
    )
    assert "Random needs 100" in found.sentence and "measured on pseudo-labels" in found.sentence


def test_a_curve_that_still_rises_is_called_so():
    found = curve([[0.1, 0.1], [0.2, 0.2], [0.5, 0.5], [0.9, 0.9]])
    assert found.enough == 100
    assert found.sentence.startswith("Every budget below 100 images is clearly worse than the best (90.0% at 100).")


def test_a_flat_curve_needs_the_least():
    assert curve([[0.9, 0.9]] * 4).enough == 10


def test_default_budgets():
    assert default_budgets(10_000, 10).tolist() == [30, 50, 100, 200, 500, 1000, 2000, 3500, 5000, 7000, 10_000]
    assert default_budgets(50, 10).tolist() == [30, 50]
    assert default_budgets(20, 10).tolist() == [20]
    assert default_budgets(1_000_000, 10)[1] == 5000


def test_values_of_every_repeat():
    vectors, labels, scores = scored()
    found = budget_curve(vectors, labels, scores, budgets=[0.25, 8, 80], repeats=2)
    assert found.budgets.tolist() == [8, 20, 80]
    assert found.coreset.shape == found.random.shape == (3, 2)
    assert ((found.coreset >= 0) & (found.coreset <= 1)).all()
    assert found.betas == pytest.approx([prior_beta(0.1), prior_beta(0.25), 0.0])
    assert found.random[-1].mean() > 0.95  # four clusters far apart, everything to learn from


def test_at_the_whole_pool_coreset_and_random_are_one():
    vectors, labels, scores = scored(noise=1.5)
    found = budget_curve(vectors, labels, scores, budgets=[10, 1.0], repeats=3)
    assert np.array_equal(found.coreset[-1], found.random[-1])
    assert not np.array_equal(found.coreset[0], found.random[0])


def test_the_sets_that_are_trained_on(monkeypatch):
    vectors, labels, scores = scored()
    seen = []

    def spy(inputs, labels, tasks, **options):
        seen.extend(tasks)
        return np.zeros(len(tasks))

    monkeypatch.setattr(module, "accuracies", spy)
    budget_curve(vectors, labels, scores, budgets=[20, 40], beta=0.25, repeats=1)
    small, small_random, large, large_random = seen
    held_out = set(small.held_out)
    assert [len(task.rows) for task in seen] == [18, 18, 36, 36]  # 72 of 80 are left; the fractions stay
    assert all(not held_out & set(task.rows) and set(task.held_out) == held_out for task in seen)
    by_score = sorted(set(range(80)) - held_out, key=lambda k: scores[k])
    assert set(small.rows) == set(by_score[18:36]) and set(large.rows) == set(by_score[18:54])
    assert set(small_random.rows) < set(large_random.rows)


@pytest.mark.parametrize("beta", [0.5, lambda fraction: 0.5, {20: 0.5, 0.75: 0.5}])
def test_ways_to_give_beta(beta):
    vectors, labels, scores = scored()
    found = budget_curve(vectors, labels, scores, budgets=[20, 0.75], beta=beta, repeats=1)
    assert found.betas.tolist() == [0.5, 0.25]  # clipped to what the budget leaves


def test_the_order_of_the_samples_does_not_matter():
    vectors, labels, scores = scored(noise=1.0)
    scores = np.round(scores)  # with ties
    ids = np.array([f"{k:03}" for k in range(80)])
    other = np.random.default_rng(5).permutation(80)
    one = budget_curve(vectors, labels, scores, budgets=[8, 40], repeats=2, ids=ids)
    two = budget_curve(vectors[other], labels[other], scores[other], budgets=[8, 40], repeats=2, ids=ids[other])
    assert np.array_equal(one.coreset, two.coreset) and np.array_equal(one.random, two.random)


def test_the_stored_form():
    vectors, labels, scores = scored(50)
    found = budget_curve(vectors, labels, scores, repeats=2)
    stored = json.loads(json.dumps(found.to_dict()))
    assert stored["budgets"][-1] == stored["size_of_pool"] == 50
    assert stored["coreset_mean"] == pytest.approx(found.coreset.mean(axis=1).tolist())
    assert stored["random_sd"] == pytest.approx(found.random.std(axis=1).tolist())
    assert stored["enough"] in stored["budgets"] and stored["sentence"] == found.sentence


@pytest.mark.parametrize(
    ("changes", "words", "field"),
    [
        ({"budgets": []}, "1 to 30 budgets, not 0", "budgets"),
        ({"budgets": [0]}, "it is 0", "budgets"),
        ({"budgets": [81]}, "it is 81", "budgets"),
        ({"beta": 1.0}, "β must be from 0 to below 1", "beta"),
        ({"beta": "auto"}, "β must be a number, not 'auto'", "beta"),
        ({"beta": {}}, "β is missing for the budget", "beta"),
        ({"repeats": 0}, "whole number from 1", "seeds"),
    ],
)
def test_refusals(changes, words, field):
    vectors, labels, scores = scored()
    with pytest.raises(InvalidInput, match=words) as error:
        budget_curve(vectors, labels, scores, **changes)
    assert error.value.field == field


def test_refused_pools():
    vectors, labels, scores = scored()
    with pytest.raises(InvalidInput, match="at least 20 samples, there are 5"):
        budget_curve(vectors[:5], labels[:5], scores[:5])
    with pytest.raises(InvalidInput, match="two clusters"):
        budget_curve(vectors, np.zeros(80, dtype=int), scores)
    with pytest.raises(InvalidInput, match="one number for each of 80 samples"):
        budget_curve(vectors, labels, scores[1:])
