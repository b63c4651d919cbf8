import numpy as np
import pytest

from benchmarks.common import synthetic
from benchmarks.shapes import SHAPES, main, objective, vote
from elfs_plugin.clustering.pseudo_labels import ClusteringConfig


def test_the_vote_by_hand():
    truth = np.array([0, 0, 1, 1])
    assert vote(truth, np.array([[1], [0], [3], [2]])) == 1.0
    assert vote(truth, np.array([[1], [2], [3], [0]])) == 0.5


def test_the_objective_is_that_of_k_means():
    unit = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert objective(unit, np.array([0, 1, 0])) == pytest.approx(3)
    assert objective(unit, np.array([0, 0, 1])) == pytest.approx(np.sqrt(2) + 1)


def test_synthetic_clusters_are_as_uneven_as_asked():
    even, uneven = synthetic(20_000, 2, 3).truth, synthetic(20_000, 2, 3, imbalance=100).truth
    assert np.allclose(np.bincount(even) / 20_000, 1 / 3, atol=0.02)
    assert np.allclose(np.bincount(uneven) / 20_000, np.array([100, 10, 1]) / 111, atol=0.02)
    wide, narrow = (synthetic(2000, 4, 2, spread=s) for s in (2.0, 0.5))
    assert wide.vectors[wide.truth == 0].std(axis=0).mean() == pytest.approx(2.0, rel=0.1)
    assert narrow.vectors[narrow.truth == 0].std(axis=0).mean() == pytest.approx(0.5, rel=0.1)


def test_a_row_for_each_shape(monkeypatch, capsys):
    few = ClusteringConfig(heads=2, min_steps=20, max_steps=20, warm_start_steps=20)
    monkeypatch.setattr(ClusteringConfig, "quick", staticmethod(lambda: few))
    monkeypatch.setitem(SHAPES, "100 Gaussians, well apart", (5, lambda n, s: synthetic(n, 8, 5, s, spread=0.05)))
    main(["--samples", "300", "--seeds", "2"])
    table = capsys.readouterr().out.partition("\naccuracy\n")[2]
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert [row[0][2:] for row in rows[1:]] == list(SHAPES)
    assert rows[1][1] == "100.0 ± 0.0"  # groups without any overlap
