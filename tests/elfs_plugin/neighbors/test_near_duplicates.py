import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.neighbors.graph import NeighborGraph, knn_graph
from elfs_plugin.neighbors.near_duplicates import groups, preview, resolve_threshold


def angles(*degrees):
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


GRAPH = knn_graph(angles(0, 5, 10, 90, 92, 180), 2)
"""cos 5° = 0.9962, cos 10° = 0.9848, cos 2° = 0.9994."""


def test_groups_hang_together():
    assert groups(GRAPH, 0.999).tolist() == [0, 1, 2, 3, 3, 4]
    assert groups(GRAPH, 0.996).tolist() == [0, 0, 0, 1, 1, 2]  # 0° and 10° by way of 5°
    assert groups(GRAPH, 0.996, among=np.array([1, 0, 1, 1, 1, 1], dtype=bool)).tolist() == [0, 1, 2, 3, 3, 4]


def test_preview_by_hand():
    found = preview(GRAPH, 0.996)
    assert (found.groups, found.samples, found.largest, found.possible, found.size) == (2, 5, 3, 3, 6)
    assert found.sentence.startswith("5 of 6 images are in 2 groups of near-duplicates (similarity 0.996 or more")
    assert preview(GRAPH, 1.0).sentence == "No two of the 6 images are as similar as 1."
    among = np.array([0, 0, 0, 1, 1, 1], dtype=bool)
    assert (preview(GRAPH, 0.9, among).possible, preview(GRAPH, 0.9, among).size) == (2, 3)


def test_exact_copies_at_a_threshold_of_one():
    vectors = np.random.default_rng(0).normal(size=(50, 30))
    vectors[10:13] = vectors[3]
    assert preview(knn_graph(vectors, 5), 1.0).possible == 47


def test_the_rounding_of_float32_makes_no_difference():
    """cos 0° of these two copies comes out below 1, and a pair that is just at the threshold belongs together."""
    similarities = np.array([[1 - 2e-7], [1 - 2e-7], [0.9], [0.9]], dtype=np.float32)
    graph = NeighborGraph(np.array([[1], [0], [3], [2]], dtype=np.int32), similarities)
    assert groups(graph, 1.0).tolist() == [0, 0, 1, 2]
    assert groups(graph, float(np.nextafter(np.float32(0.9), np.float32(1)))).tolist() == [0, 0, 1, 1]
    assert groups(graph, 0.9001).tolist() == [0, 0, 1, 2]


def test_quantiles():
    nearest = GRAPH.similarities[:, 0]
    assert resolve_threshold({"quantile": 0.5}, GRAPH) == pytest.approx(np.median(nearest))
    assert resolve_threshold({"similarity": 0.5}, GRAPH) == 0.5


@pytest.mark.parametrize("veto", [2, -1, True, "high", {"quantile": 1.5}, {"distance": 0.1}, float("nan"), {}])
def test_bad_vetoes(veto):
    with pytest.raises(InvalidInput, match="veto"):
        resolve_threshold(veto, GRAPH)
