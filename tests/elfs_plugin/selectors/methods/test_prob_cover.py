import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.selectors import Pool, select
from elfs_plugin.selectors.methods import prob_cover
from tests.helpers import blobs


def of(vectors, labels=None, **known):
    labels = np.zeros(len(vectors), dtype=int) if labels is None else labels
    graph = knn_graph(vectors, min(10, len(vectors) - 1))
    return Pool(np.arange(len(vectors)), embeddings=vectors, neighbors=graph, pseudo_labels=labels, **known)


def on_circle(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_the_fullest_ball_first_then_a_second_cover():
    """Chords within 0.2 are angles within 11.5°: 0° 10° 20° are a chain whose middle has all three, 90° is alone."""
    pool = of(on_circle(0, 10, 20, 90))
    selection = select("prob_cover", pool, 4, delta=0.2)
    assert selection.indices.tolist() == [1, 3, 0, 2]  # then a second cover: 0 has two that it would cover
    assert selection.scores[[1, 3]].tolist() == [3, 1] and selection.notes == ("δ = 0.2: 2 covers in turn.",)
    assert selection.reasons[0].startswith("number 3")


def test_labelled_samples_have_covered_theirs():
    chosen = select("prob_cover", of(on_circle(0, 10, 20, 90), locked=np.array([1])), 1, delta=0.2).indices
    assert chosen.tolist() == [3]


@pytest.mark.filterwarnings("ignore:The maximum purity")  # it is given the radius
def test_equal_to_an_independent_implementation():
    from skactiveml.pool import ProbCover

    vectors = np.random.default_rng(2).normal(size=(120, 4)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = select("prob_cover", of(vectors), 12, delta=0.5)
    strategy = ProbCover(deltas=[0.5], random_state=0)
    _, utilities = strategy.query(unit, np.full(120, np.nan), batch_size=1, return_utilities=True)
    assert found.indices[0] in np.flatnonzero(utilities[0] == utilities[0].max())
    assert found.scores[found.indices[0]] == utilities[0].max()
    # Ties fall differently; how much is covered after each choice does not depend on them here.
    distances = np.linalg.norm(unit[:, None] - unit, axis=2) <= 0.5
    theirs = ProbCover(deltas=[0.5], random_state=0).query(unit, np.full(120, np.nan), batch_size=12)
    covered = [distances[rows].any(axis=0).sum() for rows in (found.indices, theirs)]
    assert abs(int(covered[0]) - int(covered[1])) <= 3


def test_the_radius_is_that_of_95_percent_pure_balls():
    """On a line of angles 1° apart, labels change at the middle: the distance to the other label grows by 1° from 1."""
    vectors, labels = on_circle(*range(40)), np.arange(40) // 20
    graph = knn_graph(vectors, 39)
    delta = prob_cover.pure_radius(graph, labels)
    assert pure_balls(vectors, labels, 0.99 * delta) >= 0.95 > pure_balls(vectors, labels, 1.5 * delta)


def pure_balls(vectors, labels, delta):
    near = np.linalg.norm(vectors[:, None] - vectors, axis=2) <= delta
    return np.mean([len(set(labels[ball])) == 1 for ball in near])


def test_without_another_label_the_last_neighbour_bounds_it():
    vectors = on_circle(*range(40))
    graph = knn_graph(vectors, 3)
    assert 0 < prob_cover.pure_radius(graph, np.zeros(40, dtype=int)) <= 2 * np.sin(np.radians(1.5)) + 1e-6


@pytest.mark.parametrize("vectors", [np.ones((20, 3)), np.zeros((20, 3)), np.eye(20)], ids=["equal", "zero", "apart"])
@pytest.mark.parametrize("budget", [1, 20])
def test_pools_without_a_shape(vectors, budget):
    assert len(set(select("prob_cover", of(vectors.astype(np.float32)), budget).indices.tolist())) == budget


def test_too_many_pairs_are_refused_before_they_are_made(monkeypatch):
    vectors, labels = blobs(80)
    monkeypatch.setattr(prob_cover, "_MOST_PAIRS", 100)
    with pytest.raises(InvalidInput, match="Choose a smaller δ") as error:
        select("prob_cover", of(vectors, labels), 10, delta=2.0)
    assert error.value.field == "delta"


def test_a_part_is_looked_at_where_the_pairs_would_not_fit(monkeypatch):
    vectors, labels = blobs(80)
    monkeypatch.setattr(prob_cover, "_PAIRS", 400)
    selection = select("prob_cover", of(vectors, labels), 5, delta=0.5)
    assert len(selection.indices) == 5 and "of the 80 images, drawn at random" in selection.notes[1]
    assert np.isnan(selection.scores).any()
