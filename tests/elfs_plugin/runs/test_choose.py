import pytest

from elfs_plugin import runs, selectors
from elfs_plugin.errors import InvalidInput, NameTaken
from elfs_plugin.runs import record
from elfs_plugin.selectors.engines.zcore import scores as zcore


def chosen(dataset, tag):
    return sorted(dataset.match_tags(tag).values("id"))


@pytest.fixture(scope="module")
def run_dataset(new_dataset):
    """A dataset with a finished run; the tests add coresets to it."""
    dataset = new_dataset()
    runs.run_elfs(dataset, num_clusters=5, budget=20)
    return dataset


@pytest.mark.parametrize("method", sorted(selectors.available()))
def test_every_method_chooses_on_a_finished_run(run_dataset, method):
    dataset = run_dataset
    params = {"draws": 500} if method == "zcore" else {}
    try:
        summary = runs.choose_coreset(dataset, method=method, budget=7, tag=f"by_{method}", seed=1, params=params)
    finally:
        tagged = chosen(dataset, f"by_{method}")
    assert summary["coreset"] == 7 == len(tagged)
    assert record.load_record(dataset, "elfs").saved[f"by_{method}"]["method"] == method


def test_elfs_is_the_interval_of_the_ranks(written):
    dataset, order = written
    runs.choose_coreset(dataset, method="elfs", budget=4, params={"beta": 0.25}, tag="double")
    assert chosen(dataset, "double") == sorted(order[3:7])


def test_same_seed_same_images_and_the_saved_view_follows_the_tag(written):
    dataset, _ = written
    runs.choose_coreset(dataset, method="random", budget=5, seed=3, tag="one", view_name="view")
    runs.choose_coreset(dataset, method="random", budget=5, seed=3, tag="two")
    runs.choose_coreset(dataset, method="random", budget=5, seed=4, tag="three")
    assert chosen(dataset, "one") == chosen(dataset, "two") != chosen(dataset, "three")
    assert sorted(dataset.load_saved_view("view").values("id")) == chosen(dataset, "one")
    runs.choose_coreset(dataset, method="random", budget=2, seed=4, tag="one", view_name="view")
    assert len(dataset.load_saved_view("view")) == 2
    runs.delete_run(dataset)
    assert dataset.count_sample_tags() == {} and not dataset.has_saved_view("view")


def test_labelled_images_are_locked_and_the_budget_counts_on_top(written):
    dataset, order = written
    dataset.select(order[:3]).tag_samples("labelled")
    runs.choose_coreset(dataset, method="k_center", budget=9, tag="rest", locked_tag="labelled")
    assert chosen(dataset, "rest") == sorted(order[3:])


def test_quota_and_given_labels(written):
    import fiftyone as fo

    dataset, order = written
    values = {i: fo.Classification(label="ab"[place % 2]) for place, i in enumerate(order)}
    dataset.set_values("crowd", values, key_field="id", dynamic=True)
    runs.choose_coreset(dataset, method="random", budget=6, quota="equal", tag="even")
    places = [order.index(i) for i in chosen(dataset, "even")]
    assert sum(place % 2 for place in places) == 3
    runs.choose_coreset(dataset, method="prune4rel", budget=6, labels_field="crowd", tag="clean")
    assert len(chosen(dataset, "clean")) == 6
    dataset.select(order[:1]).clear_sample_field("crowd")
    with pytest.raises(InvalidInput, match="1 images of the run have no value in 'crowd'"):
        runs.choose_coreset(dataset, method="prune4rel", budget=6, labels_field="crowd", tag="clean")


def test_u_herding_learns_from_the_labelled_images_alone(written):
    import fiftyone as fo

    dataset, order = written
    labelled = order[:6]
    values = {i: fo.Classification(label="ab"[place % 2]) for place, i in enumerate(labelled)}
    dataset.set_values("crowd", values, key_field="id", dynamic=True)
    asked = {"method": "u_herding", "budget": 3, "labels_field": "crowd"}
    with pytest.raises(InvalidInput, match="name their tag") as error:
        runs.choose_coreset(dataset, **asked, tag="next")
    assert error.value.field == "locked_tag"
    dataset.select(labelled).tag_samples("labelled")
    runs.choose_coreset(dataset, **asked, tag="next", locked_tag="labelled")
    assert len(chosen(dataset, "next")) == 3 and not set(chosen(dataset, "next")) & set(labelled)
    dataset.select(labelled).clear_sample_field("crowd")
    with pytest.raises(InvalidInput, match="No image is labelled yet"):
        runs.choose_coreset(dataset, **asked, tag="next", locked_tag="labelled")


def test_auto_says_what_it_took_and_why(written):
    dataset, order = written
    advice = runs.advice(runs.Run(dataset, "elfs"), 4)
    summary = runs.choose_coreset(dataset, method="auto", budget=4, tag="best")
    assert summary["method"] == advice.method == "graph_coverage"
    assert summary["recommended"] == {"reason": advice.reason, "second": advice.second}
    assert record.load_record(dataset, "elfs").saved["best"]["recommended"] == summary["recommended"]
    dataset.select(order[:3]).tag_samples("labelled")
    assert "the 3 labelled ones" in runs.advice(runs.Run(dataset, "elfs"), 4, locked_tag="labelled").reason
    with pytest.raises(InvalidInput, match="Parameters are those of one method"):
        runs.choose_coreset(dataset, method="auto", budget=4, tag="best", params={"neighbors": 5})


@pytest.mark.parametrize(
    "change, text",
    [
        ({"method": "magic"}, "Unknown selector 'magic'"),
        ({"params": {"beta": 2}}, "beta must be a number from 0 to 1"),
        ({"params": {"gamma": 2}}, "elfs has no parameter 'gamma'"),
        ({"budget": 13}, "budget"),
        ({"tag": ""}, "Name the tag"),
        ({"locked_tag": "nobody"}, "No image of the run has the tag 'nobody'"),
        ({"params": {"score": "entropy"}}, "was not recorded for every sample"),
    ],
)
def test_refusals_change_nothing(written, change, text):
    dataset, _ = written
    with pytest.raises(InvalidInput, match=text):
        runs.choose_coreset(dataset, **{"method": "elfs", "budget": 4, "tag": "new", **change})
    assert dataset.count_sample_tags() == {}
    assert record.load_record(dataset, "elfs").saved == {}


def test_a_tag_of_somebody_else_is_refused(written):
    dataset, _ = written
    dataset.limit(1).tag_samples("taken")
    with pytest.raises(NameTaken):
        runs.choose_coreset(dataset, method="random", budget=4, tag="taken")


def test_what_a_method_warns_of_is_kept_and_told(written, monkeypatch):
    dataset, _ = written
    monkeypatch.setattr(zcore, "agreement", lambda *halves: (0.5, 0.5))  # halves that never rank alike
    summary = runs.choose_coreset(dataset, method="zcore", budget=3, tag="chance", params={"draws": 1})
    assert "half-runs" in summary["warnings"][0]
    assert record.load_record(dataset, "elfs").saved["chance"]["warnings"] == summary["warnings"]
    assert runs.read_job(dataset, "elfs")["message"] == summary["warnings"][0]


def test_confidence_in_the_given_label_is_trained_when_it_is_asked_for(written):
    dataset, _ = written
    params = {"gain": "all", "measure": "given"}
    assert runs.choose_coreset(dataset, method="prune4rel", budget=4, tag="given", params=params)["coreset"] == 4


def test_a_disk_that_refuses_the_reasons_is_told_and_stops_nothing(written, monkeypatch):
    dataset, _ = written
    monkeypatch.setattr("elfs_plugin.runs.kept_choices.keep", lambda path, write: False)
    assert runs.choose_coreset(dataset, method="random", budget=4, tag="mine")["coreset"] == 4
    assert "reasons of the choice could not be kept" in runs.read_job(dataset, "elfs")["message"]
    assert record.load_record(dataset, "elfs").saved["mine"]["choice"] is None
