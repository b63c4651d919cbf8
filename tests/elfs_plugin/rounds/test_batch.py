import numpy as np
import pytest

from elfs_plugin.choice import choose
from elfs_plugin.errors import Cancelled, InvalidInput
from elfs_plugin.neighbors.graph import knn_graph
from elfs_plugin.rounds import Labelled, next_batch
from elfs_plugin.rounds.targets import TARGETS
from elfs_plugin.selectors import Pool
from tests.helpers import blobs


def pool_of(n=120, classes=4, noise=1.0, **masks):
    vectors, truth = blobs(n, classes, noise=noise)
    ids = np.array([f"id{i:04}" for i in range(n)])
    return Pool(ids, vectors, knn_graph(vectors, 20), **masks), np.array(["ant", "bee", "cat", "dog"])[truth]


def labelled_of(truth, rows):
    return Labelled(np.asarray(rows), truth[rows])


def test_the_first_batch_is_what_the_recommended_method_chooses():
    pool, _ = pool_of()
    found = next_batch(pool, 10)
    assert found.indices.tolist() == choose("auto", pool, 10).selection.indices.tolist()
    assert (found.method, found.target, found.accuracy) == ("graph_coverage", None, None)
    assert found.sources == ["coverage"] * 10 and len(found.reasons) == 10 and found.warnings == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("share", "covering"), [(0.3, 6), (0, 0), (1, 20), (0.5, 10)])
def test_the_shares_are_exact_and_no_sample_is_there_twice(target, share, covering):
    pool, truth = pool_of()
    found = next_batch(pool, 20, labelled_of(truth, range(30)), share=share, target=target)
    assert found.sources.count("coverage") == covering and found.sources.count("targeted") == 20 - covering
    assert len(set(found.indices.tolist())) == 20 and found.indices.min() >= 30
    assert len(found.reasons) == 20 and all(found.reasons)
    assert found.target == (None if share == 1 else target)


def test_both_parts_are_spread_over_the_order():
    pool, truth = pool_of()
    sources = next_batch(pool, 20, labelled_of(truth, range(30))).sources
    assert [sources[start : start + 10].count("coverage") for start in (0, 10)] == [3, 3]


def test_coverage_comes_first_and_is_covered_for_the_targets():
    pool, truth = pool_of()
    known = labelled_of(truth, range(30))
    found = next_batch(pool, 20, known)
    locked = Pool(pool.ids, pool.embeddings, pool.neighbors, locked=np.arange(120) < 30)
    covering = found.indices[np.array(found.sources) == "coverage"]
    assert covering.tolist() == choose("auto", locked, 6).selection.indices.tolist()
    alone = next_batch(pool, 14, known, share=0).indices
    targeted = found.indices[np.array(found.sources) == "targeted"]
    assert not set(targeted.tolist()) & set(covering.tolist()) and set(targeted.tolist()) != set(alone.tolist())


@pytest.mark.parametrize("target", TARGETS)
def test_the_order_of_the_rows_does_not_matter(target):
    pool, truth = pool_of()
    known = labelled_of(truth, range(30))
    order = np.random.default_rng(1).permutation(120)
    place = np.argsort(order)
    golden = np.arange(120) >= 110
    other = Pool(pool.ids[order], pool.embeddings[order], pool.neighbors.reordered(order), excluded=golden[order])
    mixed = np.random.default_rng(2).permutation(30)
    one = next_batch(Pool(pool.ids, pool.embeddings, pool.neighbors, excluded=golden), 20, known, target=target, seed=3)
    two = next_batch(other, 20, Labelled(place[known.rows][mixed], known.labels[mixed]), target=target, seed=3)
    assert pool.ids[one.indices].tolist() == other.ids[two.indices].tolist()
    assert one.reasons == two.reasons and one.sources == two.sources and one.accuracy == two.accuracy


def test_locked_and_excluded_samples_are_left_alone():
    pool, truth = pool_of(locked=np.arange(120) % 3 == 0, excluded=np.arange(120) % 3 == 1)
    found = next_batch(pool, 40, labelled_of(truth, range(0, 60, 3)))
    assert sorted(found.indices) == list(range(2, 120, 3))


def test_labels_of_the_golden_set_teach_nothing():
    golden = np.arange(120) < 40
    pool, truth = pool_of(excluded=golden)
    known = labelled_of(truth, range(40, 80))
    wrong = np.roll(truth, 1)
    all_of_them = Labelled(np.arange(80), np.concatenate([wrong[:40], truth[40:80]]))
    assert next_batch(pool, 10, all_of_them).indices.tolist() == next_batch(pool, 10, known).indices.tolist()


def test_the_accuracy_is_that_on_labels_held_out():
    pool, truth = pool_of(noise=0.1)
    assert next_batch(pool, 5, labelled_of(truth, range(40))).accuracy == 1
    shuffled = np.random.default_rng(0).permutation(truth[:40])
    assert next_batch(pool, 5, Labelled(np.arange(40), shuffled)).accuracy < 0.6


def test_failures_of_another_model_can_be_given():
    pool, truth = pool_of(noise=0.1)
    known = labelled_of(truth, range(40))
    found = next_batch(pool, 12, known, share=0, target="failures", failures=[1, 5])
    assert set(truth[found.indices]) == {"bee"}
    assert all(" id0001," in reason or " id0005," in reason for reason in found.reasons)


def test_without_failures_uncertainty_takes_their_place():
    pool, truth = pool_of(noise=0.1)
    found = next_batch(pool, 12, labelled_of(truth, range(40)), target="failures")
    assert found.target == "uncertainty" and "got no label wrong" in found.warnings[0]


def test_rare_classes_are_found():
    pool, truth = pool_of(noise=0.1)
    rows = [*np.flatnonzero(truth != "dog")[:30], np.flatnonzero(truth == "dog")[0]]
    found = next_batch(pool, 6, labelled_of(truth, rows), share=0, target="rare")
    assert set(truth[found.indices]) == {"dog"}


@pytest.mark.parametrize("target", TARGETS)
def test_class_budgets_are_kept_over_both_parts(target):
    pool, truth = pool_of(noise=0.1)
    known = labelled_of(truth, range(40))
    wanted = {"cat": 8, "dog": 0}
    found = next_batch(pool, 20, known, target=target, class_budgets=wanted, failures=None)
    chosen = truth[found.indices].tolist()
    assert chosen.count("cat") == 8 and chosen.count("dog") == 0 and len(set(found.indices.tolist())) == 20
    assert found.sources.count("coverage") == 6
    cats = [source for source, name in zip(found.sources, chosen) if name == "cat"]
    assert 2 <= cats.count("coverage") <= 3


def test_class_budgets_without_a_model_are_passed_over():
    pool, _ = pool_of()
    assert "passed over" in next_batch(pool, 5, class_budgets={"cat": 2}).warnings[0]


def test_labels_of_one_class_leave_coverage_alone():
    pool, truth = pool_of()
    found = next_batch(pool, 10, labelled_of(truth, np.flatnonzero(truth == "ant")[:9]), target="rare")
    assert found.sources == ["coverage"] * 10 and "All labels so far are of one class" in found.warnings[0]


@pytest.mark.parametrize("target", TARGETS)
def test_twenty_equal_vectors(target):
    pool = Pool(np.arange(20), np.ones((20, 4)), excluded=np.arange(20) == 19)
    known = Labelled(np.arange(4), np.array([1, 2, 1, 2]))
    found = next_batch(pool, 15, known, target=target)
    assert sorted(found.indices) == list(range(4, 19))


def test_neighbours_are_searched_where_there_are_none():
    pool, truth = pool_of()
    found = next_batch(Pool(pool.ids, pool.embeddings), 8, labelled_of(truth, range(20)))
    assert len(found.indices) == 8


def test_another_method_covers():
    pool, truth = pool_of()
    found = next_batch(pool, 10, labelled_of(truth, range(20)), method="k_center")
    assert found.method == "k_center" and len(found.indices) == 10


ONE = {"labelled": Labelled(np.array([0, 1]), np.array(["a", "b"]))}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"budget": 119, **ONE}, "budget"),
        ({"budget": 0}, "budget"),
        ({"share": 1.5}, "share"),
        ({"share": None}, "share"),
        ({"share": float("nan")}, "share"),
        ({"target": "rarest"}, "target"),
        ({"target": None}, "target"),
        ({"failures": [1]}, "failures"),
        ({"failures": [120], "target": "failures", **ONE}, "failures"),
        ({"failures": ["a"], "target": "failures", **ONE}, "failures"),
        ({"class_budgets": {"a": 11}}, "class_budgets"),
        ({"seed": -1}, "seed"),
        ({"method": "best"}, "method"),
        ({"labelled": Labelled(np.array([120]), np.array(["a"]))}, "labels_field"),
        ({"labelled": Labelled(np.array([1, 1]), np.array(["a", "b"]))}, "labels_field"),
        ({"labelled": Labelled(np.array([1, 2]), np.array(["a"]))}, "labels_field"),
    ],
)
def test_what_cannot_be_chosen(options, field):
    pool, _ = pool_of()
    with pytest.raises(InvalidInput) as error:
        next_batch(pool, **{"budget": 10, **options})
    assert error.value.field == field


def test_nothing_left_and_no_embeddings():
    pool, truth = pool_of(excluded=np.arange(120) >= 20)
    with pytest.raises(InvalidInput, match="nothing to choose"):
        next_batch(pool, 5, labelled_of(truth, range(20)))
    with pytest.raises(InvalidInput, match="no embeddings") as error:
        next_batch(Pool(np.arange(10)), 5)
    assert error.value.field == "embeddings"


def test_it_reports_and_can_be_stopped():
    pool, truth = pool_of()
    seen = []
    next_batch(pool, 10, labelled_of(truth, range(20)), progress=lambda fraction, detail="": seen.append(fraction))
    assert seen == sorted(seen) and 0 <= seen[0] and seen[-1] <= 1

    def stop(fraction, detail=""):
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        next_batch(pool, 10, labelled_of(truth, range(20)), progress=stop)
