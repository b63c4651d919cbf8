from dataclasses import replace

import numpy as np
import pytest

from elfs_plugin.choice import choose, recommended
from elfs_plugin.errors import InvalidInput
from elfs_plugin.pipeline import run_elfs
from elfs_plugin.selectors import select
from tests.few_steps import shorten
from tests.helpers import blobs, make_pool


def test_auto_chooses_by_what_it_recommends():
    pool = make_pool()
    made = choose("auto", pool, 9, seed=3)
    assert made.method == made.recommendation.method == "graph_coverage"
    assert made.selection.indices.tolist() == select("graph_coverage", pool, 9, seed=3).indices.tolist()
    assert choose("random", pool, 9).recommendation is None


def test_the_recommendation_counts_what_can_be_chosen():
    pool = replace(make_pool(), locked=np.arange(60) < 10, excluded=np.arange(60) >= 50)
    found = recommended(pool, 0.5)
    assert "20 of 40 images" in found.reason and "the 10 labelled ones" in found.reason


def test_what_a_method_needs_is_made():
    pool = replace(make_pool(), neighbors=None)
    assert len(choose("graph_coverage", pool, 5).selection.indices) == 5
    bare = replace(make_pool(), neighbors=None, pseudo_labels=None)
    assert len(choose("graph_coverage", bare, 5).selection.indices) == 5


def test_a_beta_that_leaves_no_room_for_the_budget_is_not_taken():
    pool = make_pool()
    made = choose("auto", pool, 48, learner="network", beta=0.5)
    assert made.method == "elfs" and made.params == {} and len(made.selection.indices) == 48
    assert choose("elfs", pool, 12, beta=0.5).params == {"beta": 0.5}


def test_elfs_ranks_by_the_score_of_the_run():
    pool = make_pool()
    pool = replace(pool, dynamics=replace(pool.dynamics, el2n=np.random.default_rng(9).random(60)))
    made = choose("elfs", pool, 10, beta=0.2, score="el2n")
    assert made.params == {"score": "el2n", "beta": 0.2}
    assert made.selection.indices.tolist() == select("elfs", pool, 10, beta=0.2, score="el2n").indices.tolist()


@pytest.mark.parametrize(
    ("changes", "asked", "message"),
    [
        ({"locked": np.ones(60, dtype=bool)}, {}, "there is nothing to choose"),
        ({}, {"params": {"neighbors": 5}}, "Parameters are those of one method"),
        ({}, {"learner": "child"}, "Unknown learner 'child'"),
    ],
)
def test_what_auto_refuses(changes, asked, message):
    with pytest.raises(InvalidInput, match=message):
        choose("auto", replace(make_pool(), **changes), 3, **asked)


def test_elfs_takes_the_beta_that_was_searched():
    pool = make_pool()
    searched = choose("elfs", pool, 10, beta=0.5).selection.indices.tolist()
    assert searched == select("elfs", pool, 10, beta=0.5).indices.tolist()
    assert searched != choose("elfs", pool, 10, beta=0.5, params={"beta": 0.0}).selection.indices.tolist()


@pytest.fixture
def few(monkeypatch):
    shorten("elfs_plugin", monkeypatch.setattr)


def test_a_whole_run_by_another_method(few):
    vectors, clusters = blobs(80, 4)
    plain = run_elfs(vectors, 4, 8, beta=0.1)
    hardest_first = np.argsort(plain.dynamics.aum, kind="stable")
    assert plain.choice is None and plain.coreset.tolist() == hardest_first[8:16].tolist()
    other = run_elfs(vectors, 4, 8, beta=0.1, method="auto")
    assert other.zones.coreset.tolist() == plain.zones.coreset.tolist()
    assert other.choice.method == "graph_coverage" and len(set(other.coreset.tolist())) == 8
    assert len(set(clusters[other.coreset[:4]].tolist())) == 4


def test_a_whole_run_names_rows_of_what_it_was_given(few):
    vectors, _ = blobs(80, 4)
    vectors[3] = np.nan
    found = run_elfs(vectors, 4, 79, beta=0.0, method="graph_coverage")
    assert sorted(found.coreset.tolist()) == [i for i in range(80) if i != 3]


def test_unknown_methods_are_refused_before_any_work():
    with pytest.raises(InvalidInput, match="Unknown method 'graph'. .* Did you mean"):
        run_elfs(np.zeros((10, 2)), 2, 3, method="graph")
    with pytest.raises(InvalidInput, match="Unknown learner"):
        run_elfs(np.zeros((10, 2)), 2, 3, method="auto", learner="child")
