"""What holds for every method."""

from dataclasses import replace

import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.neighbors.neighbor_graph import NeighborGraph
from elfs_plugin.selectors import DIRECTIONS, Cost, Parameter, Pool, Selector, available, select
from elfs_plugin.selectors.registry import selectors
from tests.helpers import make_pool

METHODS = list(available())
N = 60


def ids(pool, *args, **kwargs):
    return pool.ids[select(*args[:1], pool, *args[1:], **kwargs).indices].tolist()


def shuffled(pool, seed=3):
    """The same pool with its samples in another order."""
    order = np.random.default_rng(seed).permutation(len(pool))
    by_id = {"locked": pool.locked, "excluded": pool.excluded}
    given = {name: value for name, value in vars(pool).items() if value is not None and name not in by_id}
    turned = {name: v[order] if isinstance(v, np.ndarray) else v.reordered(order) for name, v in given.items()}
    return Pool(**turned, **by_id)


def with_copies(pool, copies):
    """``copies`` {sample: the sample that it becomes an exact copy of}, and the graph of what came of it."""
    from elfs_plugin.neighbors.graph import knn_graph

    vectors = pool.embeddings.copy()
    for copy, original in copies.items():
        vectors[copy] = vectors[original]
    return replace(pool, embeddings=vectors, neighbors=knn_graph(vectors, 10))


def test_the_family_is_described():
    methods = available()
    for name, method in methods.items():
        assert method["purpose"].endswith(".") and method["direction"] in DIRECTIONS
        assert name == "random" or any(character.isdigit() for character in method["paper"])
        assert set(method["needs"]) | set(method["optional"]) <= set(Pool.__dataclass_fields__)
        assert method["cost"] is None or isinstance(method["cost"], Cost)
        for parameter in method["parameters"]:
            assert isinstance(parameter, Parameter) and parameter.text.endswith(".")
            assert parameter.check(parameter.default) == parameter.default


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("budget", [1, 7, 0.5, N])
def test_exactly_the_budget(pool, method, budget):
    selection = select(method, pool, budget)
    count = budget if budget >= 1 else int(budget * N)
    assert len(selection.indices) == len(set(selection.indices.tolist())) == count
    assert selection.scores.shape == (N,) and np.isfinite(selection.scores).all()
    assert len(selection.reasons) == N and all(isinstance(reason, str) and reason for reason in selection.reasons)


@pytest.mark.parametrize("method", METHODS)
def test_a_selector_keeps_nothing_of_a_selection(pool, method):
    selector = selectors()[method]()
    first = selector.run(pool, 20)
    assert set(vars(selector)) == {"settings"}
    other = selector.run(replace(pool, excluded=np.arange(N) < 20), 9)
    assert first.reasons[:] == select(method, pool, 20).reasons[:] and min(other.indices) >= 20


@pytest.mark.parametrize("method", [name for name, details in available().items() if details["nested"]])
@pytest.mark.parametrize("veto", [None, 0.99])
def test_a_nested_method_begins_a_larger_choice_with_the_smaller(pool, method, veto):
    large = select(method, pool, 20, seed=2, veto=veto).indices
    assert select(method, pool, 7, seed=2, veto=veto).indices.tolist() == large[:7].tolist()


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_of_one(method):
    one = make_pool(2, clusters=2, k=1)
    assert select(method, replace(one, excluded=np.array([True, False])), 1).indices.tolist() == [1]


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_samples_does_not_matter(pool, method):
    other = shuffled(pool)
    assert ids(other, method, 20, seed=4) == ids(pool, method, 20, seed=4)
    one, two = select(method, pool, 20), select(method, other, 20)
    assert dict(zip(pool.ids, one.scores)) == dict(zip(other.ids, two.scores))
    assert dict(zip(pool.ids, one.reasons)) == dict(zip(other.ids, two.reasons))


@pytest.mark.parametrize("method", METHODS)
def test_those_that_stand_for_others_are_chosen_or_locked_whatever_the_order(pool, method):
    pool = replace(pool, locked=pool.ids[:3])
    other = shuffled(pool)
    found = []
    for given in (pool, other):
        selection = select(method, given, 8)
        by = selection.represented_by
        if by is None:
            assert "stands for" not in " ".join(selection.reasons)
            return
        assert set(given.ids[by[by >= 0]]) <= {*given.ids[selection.indices], *pool.ids[:3]} and (by >= 0).any()
        found.append({i: None if j < 0 else given.ids[j] for i, j in zip(given.ids, by)})
    assert found[0] == found[1]


@pytest.mark.parametrize("method", METHODS)
def test_the_order_does_not_matter_with_every_rule_on(pool, method):
    pool = with_copies(pool, {5: 4, 8: 4, 30: 31})
    pool = replace(pool, locked=pool.ids[[4, 17]], excluded=pool.ids[[40]])
    rules = {"quota": "proportional", "veto": 0.9999, "seed": 2}
    assert ids(shuffled(pool), method, 12, **rules) == ids(pool, method, 12, **rules)


@pytest.mark.parametrize("method", METHODS)
def test_locked_and_excluded_samples_are_not_chosen(pool, method):
    pool = replace(pool, locked=pool.ids[:10], excluded=np.arange(N) >= 50)
    selection = select(method, pool, 40)
    assert sorted(selection.indices.tolist()) == list(range(10, 50))
    assert selection.reasons[3] == "already labelled" and selection.reasons[55] == "excluded from the selection"
    assert len(select(method, pool, 0.5).indices) == 20  # half of those that can be chosen
    with pytest.raises(InvalidInput, match="whole number from 1 to 40"):
        select(method, pool, 41)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("quota", "counts"), [("equal", [5, 5, 2]), ("proportional", [7, 5, 0])])
def test_quotas(pool, method, quota, counts):
    labels = np.array([0] * 35 + [1] * 23 + [2] * 2)  # of 12: 7, 4.6 and 0.4; or 4 each, of which the last has only 2
    pool = replace(pool, pseudo_labels=labels, labels=labels)
    uncut = {"beta": 0.0} if method in ("elfs", "ccs") else {}
    chosen = select(method, pool, 12, quota=quota, **uncut).indices
    assert np.bincount(labels[chosen], minlength=3).tolist() == counts


@pytest.mark.parametrize("method", METHODS)
def test_the_veto_lets_one_of_a_group_in(pool, method):
    copies = {copy: 4 for copy in range(5, 12)}
    pool = with_copies(pool, copies)
    selection = select(method, pool, 53, veto=0.99999)  # 60 less 7 copies
    group = [4, *copies]
    assert selection.threshold == 0.99999 and len(set(selection.indices.tolist()) & set(group)) == 1
    kept = next(i for i in selection.indices.tolist() if i in group)
    out = next(i for i in group if i != kept)
    assert selection.reasons[out] == f"not chosen: near-duplicate of {pool.ids[kept]}"
    with pytest.raises(InvalidInput, match="Only 53 images can be chosen once near-duplicates are left out") as error:
        select(method, pool, 54, veto=0.99999)
    assert error.value.field == "veto"


def test_near_duplicates_of_locked_samples_stay_out(pool):
    pool = replace(with_copies(pool, {5: 4, 6: 4}), locked=pool.ids[[4]])
    selection = select("random", pool, 57, veto=0.99999)
    assert not {4, 5, 6} & set(selection.indices.tolist())
    assert selection.reasons[5] == "not chosen: near-duplicate of id0004"


def test_an_excluded_sample_rules_nothing_out(pool):
    pool = replace(with_copies(pool, {5: 4}), excluded=pool.ids[[4]])
    assert 5 in select("random", pool, 59, veto=0.99999).indices


def test_quota_and_veto_together_are_exact_where_a_group_spans_clusters(pool):
    copies = {copy: 0 for copy in (1, 2, 3, 4, 5, 6)}  # 7 copies, of clusters 0 1 2 0 1 2 0: three of them in cluster 0
    pool = with_copies(pool, copies)
    for seed in range(5):
        chosen = select("random", pool, 54, quota="proportional", veto=0.99999, seed=seed).indices
        assert len(set(chosen.tolist())) == 54
        group = [i for i in chosen.tolist() if i < 7]
        assert len(group) == 1 and group[0] % 3 == 0
    with pytest.raises(InvalidInput, match="Only 54"):
        select("random", pool, 55, quota="equal", veto=0.99999)


@pytest.mark.parametrize("method", METHODS)
def test_missing_needs_are_named(method):
    for need in available()[method]["needs"]:
        bare = Pool(ids=np.array(["a", "b"]))
        with pytest.raises(InvalidInput, match=f"{method} needs {need}") as error:
            select(method, bare, 1)
        assert error.value.field == "method"
        break


def test_quota_and_veto_say_what_they_need():
    bare = Pool(ids=np.array(["a", "b"]))
    with pytest.raises(InvalidInput, match="needs pseudo_labels; the operator compute_pseudo_labels"):
        select("random", bare, 1, quota="equal")
    with pytest.raises(InvalidInput, match="needs neighbors; the operator compute_pseudo_labels"):
        select("random", bare, 1, veto=0.9)
    with pytest.raises(InvalidInput, match="Unknown quota 'half'"):
        select("random", replace(bare, pseudo_labels=np.array([0, 1])), 1, quota="half")


def test_bad_pools(pool):
    with pytest.raises(InvalidInput, match="ids of the pool must be distinct"):
        select("random", Pool(ids=np.array(["a", "b", "a"])), 1)
    with pytest.raises(InvalidInput, match="nothing to choose"):
        select("random", replace(pool, locked=pool.ids), 1)
    with pytest.raises(InvalidInput, match="1 ids that are not in the pool, nobody first"):
        select("random", replace(pool, locked=np.array(["nobody", "id0003"])), 1)
    with pytest.raises(InvalidInput, match="60 samples, but 59 embeddings"):
        select("k_center", replace(pool, embeddings=pool.embeddings[:-1]), 1)
    holes = pool.embeddings.copy()
    holes[3, 2] = np.nan
    with pytest.raises(InvalidInput, match=r"embeddings hold NaN or infinite values in 1 of 60 samples \(index 3\)"):
        select("herding", replace(pool, embeddings=holes), 1)
    with pytest.raises(InvalidInput, match="pseudo_labels are whole numbers from 0"):
        select("moderate", replace(pool, pseudo_labels=pool.pseudo_labels - 1), 1)


def test_parameters_are_checked():
    with pytest.raises(InvalidInput, match="strata must be a whole number from 1 to 10000, not 2.5") as error:
        select("ccs", make_pool(), 3, strata=2.5)
    assert error.value.field == "strata"
    with pytest.raises(InvalidInput, match="random has no parameter 'beta'. It has none."):
        select("random", make_pool(), 3, beta=0.1)
    with pytest.raises(InvalidInput, match="Unknown metric 'dot'. Use one of: cosine, euclidean"):
        select("herding", make_pool(), 3, metric="dot")
    with pytest.raises(InvalidInput, match="balance is either true or false, not 1"):
        select("prune4rel", make_pool(), 3, balance=1)
    assert Parameter("x", "number", 1.0, "", low=0.0).to_dict()["low"] == 0.0


def test_reasons_are_made_when_read():
    n = 200_000
    pool = Pool(ids=np.arange(n))
    reasons = select("random", pool, 10).reasons
    assert len(reasons) == n and reasons[-1] == reasons[n - 1] and reasons[:2] == [reasons[0], reasons[1]]
    with pytest.raises(IndexError):
        reasons[n]


def test_a_method_without_choose_says_so(pool):
    class Unfinished(Selector):
        name = "unfinished"

    with pytest.raises(TypeError, match="Unfinished does not implement choose"):
        Unfinished().run(pool, 1)


def test_a_graph_keeps_its_meaning_in_another_order(pool):
    order = np.random.default_rng(0).permutation(N)
    turned = pool.neighbors.reordered(order)
    assert isinstance(turned, NeighborGraph)
    for place, i in enumerate(order):
        assert order[turned.indices[place]].tolist() == pool.neighbors.indices[i].tolist()
