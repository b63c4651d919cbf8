from dataclasses import replace

import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.neighbors.vectors import normalize
from elfs_plugin.selectors import Pool, select
from elfs_plugin.selectors.engines.neighborhood_greedy import neighborhoods
from elfs_plugin.selectors.methods.prune4rel import log_gain


def test_gain_by_hand_and_where_tanh_saturates():
    a, c = np.array([0.0, 0.5, 3.0]), np.array([0.3, 1.0, 0.9])
    assert np.exp(log_gain(a, c)) == pytest.approx(np.tanh(a + c) - np.tanh(a))
    # tanh(50) is 1 to the last bit; the gain is close to 2 (1 - exp(-2c)) exp(-2a).
    assert log_gain(np.array([50.0]), np.array([0.5]))[0] == pytest.approx(np.log(2 * (1 - np.exp(-1))) - 100)
    assert np.isfinite(log_gain(np.zeros(1), np.zeros(1))).all()
    far = log_gain(np.array([400.0, 401.0]), np.array([0.5, 0.5]))
    assert far[0] > far[1]


def greedy(vectors, confidence, budget, tau, eta, locked=()):
    x = normalize(vectors).astype(np.float64)
    similarities = 0.5 + 0.5 * x @ x.T
    near = np.where(similarities > tau, similarities, 0.0)
    filled, chosen = near[:, list(locked)] @ confidence[list(locked)], []
    for _ in range(budget):
        gain = log_gain(filled / eta, confidence / eta)
        gain[[*chosen, *locked]] = -np.inf
        chosen.append(int(np.argmax(gain)))
        filled = filled + near[:, chosen[-1]] * confidence[chosen[-1]]
    return chosen


@pytest.mark.parametrize(("tau", "eta"), [(0.6, 1.0), (0.9, 0.01), (0.0, 1.0)])
def test_the_lazy_search_is_exact(tau, eta):
    rng = np.random.default_rng(0)
    vectors, confidence = rng.normal(size=(1500, 5)).astype("f4"), rng.random(1500)
    pool = Pool(np.arange(1500), embeddings=vectors, confidence=confidence, locked=np.array([3, 9]))
    found = select("prune4rel", pool, 300, tau=tau, eta=eta, balance=False).indices.tolist()
    assert found == greedy(vectors, confidence, 300, tau, eta, [3, 9])


def test_confident_first_then_other_neighbourhoods():
    # 0, 1, 2 are copies, 3 lies elsewhere: after 0 the least confident, whose place is empty, gains most.
    pool = Pool(
        np.arange(4), embeddings=np.array([[1.0, 0], [1, 0], [1, 0], [0, 1]]), confidence=np.array([0.9, 0.8, 0.7, 0.3])
    )
    found = select("prune4rel", pool, 3, balance=False)
    assert found.indices.tolist() == [0, 3, 1]
    assert found.reasons[0] == "number 1: confidence 0.900 where its neighbourhood had least"


def test_the_threshold_is_on_the_scaled_similarity():
    # cos 0.6 is a similarity of 0.8: neighbours for τ = 0.79, not for 0.81.
    pool = Pool(
        np.arange(3), embeddings=np.array([[1.0, 0], [0.6, 0.8], [-1, 0]]), confidence=np.array([0.9, 0.8, 0.5])
    )
    assert select("prune4rel", pool, 2, tau=0.79, balance=False).indices.tolist() == [0, 2]
    assert select("prune4rel", pool, 2, tau=0.81, balance=False).indices.tolist() == [0, 1]


def test_equal_gains_are_broken_by_the_seed():
    pool = Pool(np.arange(500), embeddings=np.eye(500), confidence=np.ones(500))
    one, same, other = (set(select("prune4rel", pool, 50, balance=False, seed=s).indices.tolist()) for s in (0, 0, 1))
    assert one == same != other and one != set(range(50))


def test_balance_by_given_labels_first():
    labels = np.array([0] * 90 + [1] * 10)
    rng = np.random.default_rng(0)
    pool = Pool(
        np.arange(100),
        embeddings=rng.normal(size=(100, 4)),
        confidence=rng.random(100),
        labels=labels,
        pseudo_labels=np.zeros(100, dtype=int),
    )
    chosen = select("prune4rel", pool, 12).indices
    assert np.bincount(labels[chosen]).tolist() == [6, 6]


def test_probabilities_go_before_the_clusterings_confidence():
    probabilities = np.array([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [0.6, 0.4, 0.0]])
    pool = Pool(np.arange(3), embeddings=np.eye(3), probabilities=probabilities, confidence=np.array([0.9, 1.0, 0.8]))
    first = {
        measure: select("prune4rel", pool, 1, balance=False, measure=measure).indices[0]
        for measure in ("max", "margin", "entropy")
    }
    assert first == {"max": 2, "margin": 2, "entropy": 2}
    with pytest.raises(InvalidInput, match="needs probabilities or confidence"):
        select("prune4rel", Pool(np.arange(3), embeddings=np.eye(3)), 1, balance=False)


def test_all_neighbourhoods_are_filled_better_than_by_own_gains(pool):
    def objective(chosen, confidence):
        links = neighborhoods(pool.neighbors, 0.9)
        return np.tanh(links.toarray()[:, chosen] @ confidence[chosen]).sum()

    own, all_of_them = (
        select("prune4rel", pool, 8, tau=0.9, balance=False, gain=gain).indices for gain in ("own", "all")
    )
    confidence = pool.probabilities.max(axis=1).astype(float)
    assert objective(all_of_them, confidence) > objective(own, confidence)


def test_confidence_in_the_given_label_leaves_doubted_labels_out(pool):
    probabilities = np.full((60, 3), 0.05)
    probabilities[np.arange(60), pool.labels] = 0.9
    wrong = np.arange(0, 60, 4)
    probabilities[wrong] = 0.05
    probabilities[wrong, (pool.labels[wrong] + 1) % 3] = 0.9
    doubted = replace(pool, probabilities=probabilities)
    for gain in ("own", "all"):
        chosen = select("prune4rel", doubted, 20, tau=0.999, gain=gain, measure="given").indices
        assert not np.isin(chosen, wrong).any()
    with pytest.raises(InvalidInput, match="prune4rel needs probabilities; warm_up"):
        select("prune4rel", replace(pool, probabilities=None), 5, measure="given")
    with pytest.raises(InvalidInput, match="needs labels, or pseudo-labels"):
        select("prune4rel", replace(pool, labels=None, pseudo_labels=None), 5, measure="given", balance=False)
    with pytest.raises(InvalidInput, match="prune4rel needs neighbors"):
        select("prune4rel", replace(pool, neighbors=None), 5, gain="all")
