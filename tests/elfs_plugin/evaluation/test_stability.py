import json
from dataclasses import replace

import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.evaluation import stability as module
from elfs_plugin.evaluation.stability import stability
from elfs_plugin.proxy.dynamics import Dynamics
from elfs_plugin.proxy.train import ProxyConfig
from elfs_plugin.pruning.zones import double_end

QUICK = ProxyConfig.mlp(epochs=2, members=3, left_out=1, hidden=8)


@pytest.fixture
def given_scores(monkeypatch):
    """The proxy 'trained' with each seed gives the next of these scores."""
    queue, asked = [], []

    def train(inputs, labels, *, seed, **options):
        asked.append(seed)
        return Dynamics(
            **{
                name: np.asarray(queue.pop(0), dtype=float) if name == "aum" else np.zeros(len(labels))
                for name in ("aum", "aum_logit", "forgetting", "el2n", "correctness", "entropy")
            },
            epochs=1,
        )

    monkeypatch.setattr(module, "train_proxy", train)
    return queue, asked


def test_overlap_by_hand(given_scores):
    queue, asked = given_scores
    # β = 0, two of six: {0, 1}, {0, 2} and {0, 1} again.
    queue += [[0, 1, 2, 3, 4, 5], [0, 2, 1, 3, 4, 5], [0, 1, 2, 3, 5, 4]]
    found = stability(np.zeros((6, 2)), np.zeros(6, dtype=int), 2, 2, 0.0, seeds=3)
    assert found.overlap.tolist() == [[1, 0.5, 1], [0.5, 1, 0.5], [1, 0.5, 1]]
    assert found.overlap_mean == pytest.approx(2 / 3)
    assert found.overlap_sd == pytest.approx(np.std([0.5, 1, 0.5]))
    assert found.chosen_by.tolist() == [3, 2, 1, 0, 0, 0] and found.always == 1
    assert found.chance == pytest.approx(2 / 6)
    # Two of six exchanged places: Spearman 1 - 6 (1 + 1) / (6 (36 - 1)).
    assert found.correlation[0, 1] == pytest.approx(1 - 12 / 210)
    assert "67% ± 24% of the 2 images are chosen again (by chance: 33%); 1 are in all 3" in found.sentence
    assert asked[0] == 0 and len(set(asked)) == 3


def test_scores_that_are_known_count_as_the_first(given_scores):
    queue, asked = given_scores
    queue += [[3, 2, 1, 0]]
    found = stability(np.zeros((4, 2)), np.zeros(4, dtype=int), 2, 1, 0.0, seeds=2, scores=[0, 1, 2, 3], seed=9)
    assert found.chosen_by.tolist() == [1, 0, 0, 1] and found.overlap_mean == 0
    assert found.correlation[0, 1] == pytest.approx(-1)
    assert len(asked) == 1 and found.seeds[0] == 9 and found.seeds[1] == asked[0]


def test_a_high_hard_end(given_scores):
    queue, _ = given_scores
    rows = [[0, 1, 2, 3], [0, 1, 2, 3]]
    queue += rows
    low = stability(np.zeros((4, 2)), np.zeros(4, dtype=int), 2, 1, 0.0, seeds=2)
    queue += rows
    high = stability(np.zeros((4, 2)), np.zeros(4, dtype=int), 2, 1, 0.0, seeds=2, hard="high")
    assert low.chosen_by.tolist() == [2, 0, 0, 0] and high.chosen_by.tolist() == [0, 0, 0, 2]


def test_real_proxies():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 4
    vectors = (2 * np.eye(6)[labels] + rng.normal(size=(60, 6))).astype(np.float32)
    learnt = replace(QUICK, epochs=30, left_out=0)  # long enough that every seed finds the same samples hard
    found, same, other = (stability(vectors, labels, 4, 12, 0.2, seeds=3, config=learnt, seed=s) for s in (0, 0, 1))
    assert found.chosen_by.sum() == 3 * 12
    assert np.array_equal(found.overlap, found.overlap.T) and (np.diag(found.overlap) == 1).all()
    assert np.array_equal(found.chosen_by, same.chosen_by) and np.array_equal(found.correlation, same.correlation)
    assert found.seeds != other.seeds
    assert 0 <= found.overlap_mean <= 1 and found.correlation_mean > 0


def test_the_stored_form(given_scores):
    queue, _ = given_scores
    queue += [[0, 1, 2, 3], [1, 0, 2, 3]]
    found = stability(np.zeros((4, 2)), np.zeros(4, dtype=int), 2, 1, 0.0, seeds=2)
    stored = json.loads(json.dumps(found.to_dict()))
    assert stored["chosen_by_counts"] == [2, 2, 0] and "chosen_by" not in stored
    assert stored["overlap_mean"] == 0 and stored["chance"] == 0.25 and stored["score"] == "aum"


def test_equal_scores_have_no_correlation(given_scores):
    queue, _ = given_scores
    queue += [[1, 1, 1, 1], [1, 1, 1, 1]]
    found = stability(np.zeros((4, 2)), np.zeros(4, dtype=int), 2, 1, 0.0, seeds=2)
    assert found.overlap_mean == 1 and found.to_dict()["correlation_mean"] is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"seeds": 1}, "seeds"),
        ({"seeds": 21}, "seeds"),
        ({"seeds": "three"}, "seeds"),
        ({"seeds": 2.5}, "seeds"),
        ({"score": "size"}, "score"),
        ({"budget": 0}, "budget"),
        ({"budget": 5}, "budget"),
        ({"beta": 0.9}, "beta"),
    ],
)
def test_refusals(changes, field):
    options = {"budget": 1, "beta": 0.0, **changes}
    budget, beta = options.pop("budget"), options.pop("beta")
    with pytest.raises(InvalidInput) as error:
        stability(np.zeros((4, 2)), np.zeros(4, dtype=int), 2, budget, beta, **options)
    assert error.value.field == field


def test_the_coreset_is_double_end_pruning(given_scores):
    queue, _ = given_scores
    scores = np.random.default_rng(2).normal(size=30)
    queue += [scores, scores]
    found = stability(np.zeros((30, 2)), np.zeros(30, dtype=int), 2, 6, 0.3, seeds=2)
    assert set(np.flatnonzero(found.chosen_by)) == set(double_end(scores, 6, 0.3).coreset)
