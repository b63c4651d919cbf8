import fiftyone as fo
import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs


def test_zones_tag_and_saved_view(scored, execute):
    params = dict(budget=25, budget_unit="percent", beta_mode="manual", beta=0.1, tag="kept", view_name="Kept")
    summary = execute("select_coreset", scored, **params).result
    assert (summary["hard"], summary["coreset"], summary["easy"]) == (8, 20, 52)
    rank, zone = scored.values(["elfs.rank", "elfs.zone"])
    assert zone == ["hard" if r < 8 else "coreset" if r < 28 else "easy" for r in rank]
    assert scored.count_sample_tags() == {"kept": 20}
    again = fo.load_dataset(scored.name)
    again.reload()
    view = again.load_saved_view("Kept")
    assert [type(stage) for stage in view._stages] == [fo.MatchTags]
    assert sorted(view.values("elfs.rank")) == list(range(8, 28))
    assert "20 images" in again.get_saved_view_info("Kept")["description"]


@pytest.mark.parametrize("budget", [1, 7, 33, 80])
def test_the_budget_is_exact(scored, execute, budget):
    execute("select_coreset", scored, budget=budget, budget_unit="images", beta=0, tag="kept")
    assert scored.count_sample_tags() == {"kept": budget}
    assert scored.count_values("elfs.zone")["coreset"] == budget


def test_another_selection_replaces_the_first(scored, execute):
    scored.limit(3).tag_samples("mine")
    for budget, beta in ((20, 0.0), (10, 0.5)):
        execute("select_coreset", scored, budget=budget, beta=beta, tag="kept", view_name="Kept")
    assert scored.count_sample_tags() == {"kept": 10, "mine": 3}
    assert sorted(scored.load_saved_view("Kept").values("elfs.rank")) == list(range(40, 50))
    assert scored.count_values("elfs.zone") == {"hard": 40, "coreset": 10, "easy": 30}
    assert scored.list_saved_views() == ["Kept"]


def test_auto_takes_the_searched_beta(scored, execute):
    with pytest.raises(ExecutionError, match="No β has been searched yet"):
        execute("select_coreset", scored, budget=20)
    chosen = execute("search_beta", scored, budget=20, repeats=1).result["beta"]
    assert execute("select_coreset", scored, budget=20).result["beta"] == chosen


def test_a_new_search_leaves_the_selection(scored, execute):
    execute("select_coreset", scored, budget=20, beta=0.1, tag="kept", view_name="Kept")
    before = scored.values(["elfs.zone", "tags"])
    execute("search_beta", scored, budget=40, repeats=1)
    assert scored.values(["elfs.zone", "tags"]) == before
    assert len(scored.load_saved_view("Kept")) == 20
    assert runs.load_record(scored, "elfs").stages["selection"]["coreset"] == 20


@pytest.mark.parametrize(
    ("params", "path", "words"),
    [
        ({"budget": 40, "beta": 0.6}, "beta", "between 0 and 0.5"),
        ({"budget": 81}, "budget", "from 1 to 80"),
        ({"budget": 10, "tag": "used"}, "tag", "already in use"),
        ({"budget": 10, "view_name": "Used"}, "view_name", "already exists"),
        ({"budget": 10, "key": "other"}, "key", "There is no ELFS run 'other'"),
    ],
)
def test_refusals(scored, execute, params, path, words):
    scored.limit(3).tag_samples("used")
    scored.save_view("Used", scored.limit(2))
    with pytest.raises(ExecutionError, match=f"Path: {path}. Reason: .*{words}"):
        execute("select_coreset", scored, **params)
    assert scored.count_sample_tags() == {"used": 3}
    assert len(scored.load_saved_view("Used")) == 2
    assert not scored.has_sample_field("elfs.zone")


def test_a_run_on_a_slice_of_a_grouped_dataset(digits, execute, operator, state_of, tmp_path):
    dataset = fo.Dataset()
    dataset.add_group_field("group", default="left")
    for first, second in zip(digits[:40], digits[40:80]):
        group = fo.Group()
        dataset.add_sample(fo.Sample(filepath=str(first), group=group.element("left")))
        dataset.add_sample(fo.Sample(filepath=str(second), group=group.element("right")))
    before = state_of(dataset)
    right = dataset.select_group_slices("right")
    assert operator("run_elfs")(right, num_clusters=4, budget=10)["samples"] == 40
    execute("search_beta", dataset, budget=8, repeats=1)
    execute("select_coreset", dataset, budget=8, tag="kept")
    assert right.count_sample_tags() == {"kept": 8}
    assert dataset.select_group_slices("left").count_sample_tags() == {}
    assert execute("export_coreset", dataset, path=str(tmp_path / "list.csv")).result["exported"] == 8
    execute("delete_run", dataset)
    assert state_of(dataset) == before
    assert right.count_sample_tags() == {}
    dataset.delete()
