import numpy as np

from elfs_plugin.runs import graph

IDS = [f"{number:024x}" for number in (7, 3, 9, 5)]


def save(folder, ids=IDS, k=2):
    near = np.array([[1, 2, 3], [0, 2, 3], [3, 0, 1], [2, 1, 0]])[:, :k]
    return graph.save(folder, ids, near, np.array([[0.9, 0.8, 0.7]] * 4)[:, :k])


def test_the_neighbours_of_an_id_come_back(tmp_path):
    kept = graph.load(tmp_path, save(tmp_path))
    assert [i.decode() for i in kept.ids] == sorted(IDS)
    found = kept.neighbors_of(IDS[0])
    assert [i for i, _ in found] == [IDS[1], IDS[2]]
    assert np.allclose([s for _, s in found], [0.9, 0.8], atol=1e-3)
    assert [i for i, _ in kept.neighbors_of(IDS[2])] == [IDS[3], IDS[0]]
    for stranger in (f"{4:024x}", f"{99:024x}", "", "not an id"):
        assert kept.neighbors_of(stranger) is None


def test_the_arrays_are_mapped_not_read(tmp_path):
    kept = graph.load(tmp_path, save(tmp_path))
    assert all(isinstance(array, np.memmap) for array in (kept.ids, kept.neighbors, kept.similarities))


def test_only_the_nearest_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "KEPT", 1)
    assert graph.load(tmp_path, save(tmp_path, k=3)).neighbors.shape == (4, 1)


def test_each_graph_is_found_by_its_token_until_it_is_removed(tmp_path):
    first, second = save(tmp_path), save(tmp_path, ids=IDS[::-1])
    assert save(tmp_path) == first  # the same graph has the same name
    assert [i for i, _ in graph.load(tmp_path, first).neighbors_of(IDS[3])] == [IDS[2], IDS[1]]
    assert [i for i, _ in graph.load(tmp_path, second).neighbors_of(IDS[3])] == [IDS[2], IDS[1]]
    (tmp_path / "graph-of-mine").mkdir()
    graph.remove_others(tmp_path, second)
    assert graph.load(tmp_path, first) is None and graph.load(tmp_path, second) is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"graph-{second}", "graph-of-mine"]


def test_the_graph_of_an_older_version_has_no_token(tmp_path):
    (tmp_path / f"graph-{save(tmp_path)}").rename(tmp_path / "graph")
    assert graph.load(tmp_path, None) is not None
    graph.remove_others(tmp_path, "")
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_or_damaged_is_no_graph(tmp_path):
    assert graph.load(tmp_path, None) is None
    token = save(tmp_path)
    (tmp_path / f"graph-{token}" / "neighbors.npy").write_bytes(b"damaged")
    assert graph.load(tmp_path, token) is None
    assert save(tmp_path) == token and graph.load(tmp_path, token) is not None  # it is written again
    np.save(tmp_path / f"graph-{token}" / "similarities.npy", np.zeros((2, 2)))
    assert graph.load(tmp_path, token) is None
