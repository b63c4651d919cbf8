import fiftyone as fo
import pytest

from elfs_plugin import runs
from elfs_plugin.errors import InvalidInput


def ranks(view):
    return view.values("elfs.rank")


def test_an_interval_sorted_by_rank(written):
    dataset, _ = written
    assert sorted(ranks(runs.rank_view(runs.Run(dataset, "elfs"), 3, 7))) == [3, 4, 5, 6]
    assert ranks(runs.rank_view(runs.Run(dataset, "elfs"), 3, 7, order="hardest")) == [3, 4, 5, 6]
    assert ranks(runs.rank_view(runs.Run(dataset, "elfs"), 3, 7, order="easiest")) == [6, 5, 4, 3]


def test_some_clusters(written):
    dataset, _ = written
    odd = runs.rank_view(runs.Run(dataset, "elfs"), 0, 8, order="easiest", clusters=["cluster 10"])
    assert ranks(odd) == [7, 5, 3, 1]
    both = ["cluster 2", "cluster 10"]
    assert ranks(runs.rank_view(runs.Run(dataset, "elfs"), 4, 8, order="hardest", clusters=both)) == [4, 5, 6, 7]
    assert ranks(runs.rank_view(runs.Run(dataset, "elfs"), 0, 8, clusters=[])) == []


def test_the_borders_of_both_cuts(written):
    dataset, _ = written
    assert ranks(runs.borderline_view(runs.Run(dataset, "elfs"), 3, 6, 1)) == [2, 3, 8, 9]
    assert ranks(runs.borderline_view(runs.Run(dataset, "elfs"), 3, 2, 2)) == [1, 2, 3, 4, 5, 6]  # each image once
    assert ranks(runs.borderline_view(runs.Run(dataset, "elfs"), 1, 9, 3)) == [0, 1, 2, 3, 7, 8, 9, 10, 11]
    only_odd = runs.borderline_view(runs.Run(dataset, "elfs"), 3, 6, 2, clusters=["cluster 10"])
    assert ranks(only_odd) == [1, 3, 7, 9]


def test_an_end_of_the_ranks_is_no_cut(written):
    dataset, _ = written
    assert ranks(runs.borderline_view(runs.Run(dataset, "elfs"), 0, 4, 1)) == [3, 4]
    assert ranks(runs.borderline_view(runs.Run(dataset, "elfs"), 4, 8, 1)) == [3, 4]
    assert ranks(runs.borderline_view(runs.Run(dataset, "elfs"), 0, 12, 5)) == []


def test_views_are_small_and_can_be_saved(written):
    dataset, order = written
    view = runs.borderline_view(runs.Run(dataset, "elfs"), 3, 6, 1, clusters=["cluster 2"])
    assert [type(stage) for stage in view._stages] == [fo.Match, fo.SortBy]
    assert not any(i in str(view._serialize()) for i in order)
    dataset.save_view("Borders", view)
    again = fo.load_dataset(dataset.name)
    again.reload()
    assert ranks(again.load_saved_view("Borders")) == [2, 8]


def stages_of(plan):
    """Names of the stages anywhere in MongoDB's plan."""
    if isinstance(plan, dict):
        own = {plan["stage"]} if isinstance(plan.get("stage"), str) else set()
        return own.union(*(stages_of(value) for value in plan.values()))
    return set().union(*map(stages_of, plan)) if isinstance(plan, list) else set()


@pytest.mark.parametrize("clusters", [None, ["cluster 2"], ["cluster 2", "cluster 10"]])
@pytest.mark.parametrize("order", ["hardest", "easiest"])
def test_indexes_serve_the_sorted_views(written, order, clusters):
    dataset, _ = written
    view = runs.rank_view(runs.Run(dataset, "elfs"), 2, 9, order=order, clusters=clusters)
    command = {"aggregate": dataset._sample_collection.name, "pipeline": view._pipeline(), "cursor": {}}
    plan = dataset._sample_collection.database.command("explain", command, verbosity="queryPlanner")
    winning = stages_of(plan["queryPlanner"]["winningPlan"] if "queryPlanner" in plan else plan["stages"])
    assert "IXSCAN" in winning and not winning & {"SORT", "COLLSCAN"}


@pytest.mark.parametrize("width", [0, -1, 1.5, True, "many"])
def test_refusals(written, width):
    dataset, _ = written
    with pytest.raises(InvalidInput, match="whole number from 1"):
        runs.borderline_view(runs.Run(dataset, "elfs"), 3, 6, width)
    with pytest.raises(InvalidInput, match="Unknown order 'upwards'"):
        runs.rank_view(runs.Run(dataset, "elfs"), 0, 1, order="upwards")
