import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.precut.balanced import balanced_rows


def clusters(sizes, dimensions=8, noise=0.05, seed=0):
    """((N, D) vectors, (N,) which cluster): tight clusters at right angles."""
    rng = np.random.default_rng(seed)
    which = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    vectors = np.eye(dimensions)[which] + noise * rng.normal(size=(len(which), dimensions))
    return vectors.astype(np.float32), which


def test_a_small_cluster_keeps_as_much_as_a_large_one():
    vectors, which = clusters([4000, 400, 400, 40])
    kept = np.bincount(which[balanced_rows(vectors, 340)])
    drawn = np.bincount(which[np.random.default_rng(0).choice(len(which), 340, replace=False)], minlength=4)
    assert kept[3] >= 20 > 4 * drawn[3] and kept[0] < drawn[0]


@pytest.mark.parametrize("target", [1, 2, 15, 16, 17, 500, 1199, 1200])
def test_as_many_distinct_rows_in_order_as_are_asked_for(target):
    vectors, _ = clusters([700, 500], noise=0.5)
    rows = balanced_rows(vectors, target, seed=1)
    assert len(rows) == target and (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] < 1200


def test_one_row_is_the_most_central():
    vectors = np.array([[1, 0.5], [1, 0], [1, -0.45]], dtype=np.float32)
    assert balanced_rows(vectors, 1).tolist() == [1]


@pytest.mark.parametrize("target", [1, 10, 999])
def test_exact_duplicates_are_drawn(target):
    rows = balanced_rows(np.ones((1000, 3), dtype=np.float32), target)
    assert len(set(rows.tolist())) == target


def test_same_seed_same_rows_also_from_a_file(tmp_path):
    vectors, _ = clusters([900, 300, 100], noise=0.4)
    np.save(tmp_path / "vectors.npy", vectors)
    first = balanced_rows(vectors, 100, seed=3)
    again = balanced_rows(np.load(tmp_path / "vectors.npy", mmap_mode="r"), 100, seed=3)
    assert (first == again).all() and not np.array_equal(first, balanced_rows(vectors, 100, seed=4))


def test_progress_rises_and_can_stop_it():
    vectors, _ = clusters([900, 300], noise=0.4)
    reports = []
    balanced_rows(vectors, 100, progress=lambda fraction, detail="": reports.append(fraction))
    assert reports == sorted(reports) and reports[-1] == 1

    def stop(fraction, detail=""):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        balanced_rows(vectors, 100, progress=stop)


@pytest.mark.parametrize("target", [0, 11])
def test_a_target_that_cannot_be_is_refused(target):
    with pytest.raises(InvalidInput, match="from 1 to 10"):
        balanced_rows(np.eye(10, dtype=np.float32), target)


def test_only_the_rows_that_are_named_are_taken():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 5)).astype(np.float32)
    among = np.arange(300)[np.arange(300) % 3 > 0]
    rows = balanced_rows(vectors, 40, among=among)
    assert len(rows) == 40 and np.isin(rows, among).all()
    assert rows.tolist() == among[balanced_rows(vectors[among], 40)].tolist()
