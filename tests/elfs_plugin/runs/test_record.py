import fiftyone as fo
import pytest

from elfs_plugin import runs
from elfs_plugin.errors import InvalidInput, NameTaken
from elfs_plugin.runs import journal, own, record
from elfs_plugin.runs.record import RunRecord


@pytest.mark.parametrize("key", ["", "a b", "1a", "a-b", "a.b", "_a", "$a", "a\0", None, 5])
def test_a_key_must_be_an_identifier(dataset, key):
    with pytest.raises(InvalidInput, match="cannot be a run key") as caught:
        record.check_key(dataset, key)
    assert caught.value.field == "key"


def test_a_key_that_names_a_field_or_a_foreign_run_is_refused(dataset):
    record.check_key(dataset, "elfs")
    dataset.add_sample_field("mine", fo.StringField)
    with pytest.raises(NameTaken, match="already has a field 'mine'"):
        record.check_key(dataset, "mine")
    config = dataset.init_run()
    config.method = "other"
    dataset.register_run("theirs", config)
    with pytest.raises(NameTaken, match="a run 'theirs' of another kind"):
        record.check_key(dataset, "theirs")
    assert record.load_record(dataset, "theirs") is None
    assert record.list_runs(dataset) == []


def test_embeddings_and_results_do_not_share_a_field(dataset):
    runs.compute_embeddings(dataset, "one", embeddings_field="two")
    with pytest.raises(NameTaken, match="'two' that cannot hold the results of a run"):
        runs.compute_embeddings(dataset, "two")
    with pytest.raises(NameTaken, match="The field 'one' is for the results of the run 'one'"):
        runs.compute_embeddings(dataset, "three", embeddings_field="one")
    assert runs.list_runs(dataset) == ["one"] and not dataset.has_sample_field("one")


def test_a_field_that_somebody_made_since_is_refused_before_any_work(dataset):
    runs.compute_embeddings(dataset)
    dataset.add_sample_field("elfs", fo.StringField)
    dataset.set_values("elfs", ["mine"] * len(dataset))
    with pytest.raises(NameTaken, match="already has a field 'elfs' that ELFS did not write"):
        runs.compute_pseudo_labels(dataset, num_clusters=5)
    assert set(dataset.values("elfs")) == {"mine"}


def test_read_only_fields_stay_as_they_are(new_dataset):
    dataset = new_dataset(30)
    runs.run_elfs(dataset, num_clusters=3, budget=6, beta=0.1)
    before = dataset.values(["elfs.zone", "elfs_embeddings"])

    def refused(path, function, **params):
        found = dataset.get_field(path)
        found.read_only = True
        found.save()
        with pytest.raises(InvalidInput, match=f"'{path}' is read-only.*read_only = False"):
            function(dataset, **params)
        found.read_only = False
        found.save()

    refused("elfs.zone", runs.select_coreset, budget=8, beta=0)
    for path in ("elfs", "elfs.zone", "elfs_embeddings"):
        refused(path, runs.compute_embeddings)
        refused(path, runs.delete_run)
    after = dataset.values(["elfs.zone", "elfs_embeddings"])
    assert after[0] == before[0] and all((new == old).all() for new, old in zip(after[1], before[1]))
    assert runs.delete_run(dataset)["fields"] == ["elfs", "elfs_embeddings"]


def test_results_whose_field_was_renamed_are_no_deleted_images(new_written, tmp_path):
    dataset, _ = new_written()
    runs.select_coreset(dataset, budget=4, beta=0)
    dataset.rename_sample_field("elfs", "other")
    words = "no field 'elfs.rank' any more: it was renamed or deleted"
    with pytest.raises(InvalidInput, match=words):
        runs.export_coreset(dataset, path=tmp_path / "list.csv")
    with pytest.raises(InvalidInput, match=words):
        runs.select_coreset(dataset, budget=8, beta=0)
    with pytest.raises(InvalidInput, match=words):
        runs.choose_coreset(dataset, method="random", budget=8, tag="random")
    with pytest.raises(InvalidInput, match=words):
        runs.budget_curve(dataset, budgets=[8])
    assert not dataset.has_sample_field("elfs") and not list(tmp_path.iterdir())


def test_a_record_comes_back_as_it_was_saved(dataset):
    saved = RunRecord(
        "elfs",
        stages={"embeddings": {"seed": 3, "nested": {"a": [1, 2.5, None]}}},
        embeddings_field="vectors",
        owns_embeddings=True,
        owns_field=True,
        tags=["one"],
        saved_views=["two"],
        failed=4,
    )
    record.save_record(dataset, saved)
    loaded = record.load_record(dataset, "elfs")
    assert loaded == saved
    assert type(loaded.stages["embeddings"]["nested"]) is dict
    assert set(loaded.versions) == {"elfs", "fiftyone", "torch", "numpy"}
    assert loaded.versions["fiftyone"] == fo.__version__
    saved.tags.append("three")
    record.save_record(dataset, saved)
    assert record.load_record(dataset, "elfs").tags == ["one", "three"]
    assert record.list_runs(dataset) == dataset.list_runs(method="elfs") == ["elfs"]


def test_without_a_run_or_a_dataset_there_is_no_record(dataset):
    assert record.load_record(dataset, "elfs") is None
    assert record.load_results(dataset, "elfs") == {}
    assert record.list_runs(None) == []


def test_results_are_added_to_and_none_removes(dataset):
    record.save_record(dataset, RunRecord("elfs"))
    assert record.load_results(dataset, "elfs") == {}
    journal.save_results(dataset, "elfs", failures={"a": "b"}, beta={"betas": [0.0, 0.1]})
    journal.save_results(dataset, "elfs", beta=None, histogram={"counts": [1, 2]})
    assert record.load_results(dataset, "elfs") == {"failures": {"a": "b"}, "histogram": {"counts": [1, 2]}}


@pytest.mark.parametrize(
    ("stage", "left"),
    [
        ("embeddings", {"embeddings"}),
        ("pseudo_labels", {"embeddings", "pseudo_labels"}),
        ("scores", {"embeddings", "pseudo_labels", "scores"}),
        ("beta", set(record.STAGE_ORDER)),
        ("selection", set(record.STAGE_ORDER)),
    ],
)
def test_a_new_result_forgets_what_was_made_from_the_old_one(stage, left):
    run = RunRecord("elfs", stages={name: {} for name in record.STAGE_ORDER})
    run.drop_after(stage)
    assert set(run.stages) == left


def test_a_missing_stage_is_refused_with_the_operator_to_use(dataset):
    with pytest.raises(InvalidInput, match=r"There is no ELFS run 'elfs' on this dataset \(runs: none\)"):
        runs.Run(dataset, "elfs").require("scores", "a β search")
    record.save_record(dataset, RunRecord("elfs", stages={"pseudo_labels": {}}))
    assert runs.Run(dataset, "elfs").require("pseudo_labels", "scores").key == "elfs"
    with pytest.raises(InvalidInput, match="not ready for a β search. Use compute_scores"):
        runs.Run(dataset, "elfs").require("scores", "a β search")
    with pytest.raises(InvalidInput, match=r"\(runs: elfs\)"):
        runs.Run(dataset, "other").require("scores", "a β search")


def test_the_record_of_a_run_names_what_was_done(finished):
    dataset, _ = finished
    config = dataset.get_run_info("elfs").config
    assert config.method == "elfs"
    stages = runs.load_record(dataset, "elfs").stages
    assert list(stages) == list(record.STAGE_ORDER)
    assert all(stages[name]["seed"] == 0 for name in ("embeddings", "pseudo_labels", "scores", "beta"))
    assert stages["embeddings"]["encoder"] == "pixels" and stages["embeddings"]["seen_labels"] is False
    assert (
        stages["embeddings"]["preprocessing"] == "the middle, 8 x 8 pixels" and stages["embeddings"]["checksum"] == ""
    )
    assert stages["embeddings"]["embedded"] == stages["pseudo_labels"]["labelled"] == stages["scores"]["scored"] == 80
    assert stages["pseudo_labels"]["clusters"] == 5
    assert stages["pseudo_labels"]["config"]["max_steps"] == 30
    assert stages["scores"]["proxy"]["kind"] in ("mlp", "resnet18")
    assert stages["beta"]["budget"] == stages["selection"]["coreset"] == 20
    assert stages["selection"]["beta"] == stages["beta"]["chosen"]
    assert sum(stages["selection"][zone] for zone in ("hard", "coreset", "easy")) == 80


def test_the_results_of_a_run_feed_the_panel(finished):
    dataset, _ = finished
    results = runs.load_results(dataset, "elfs")
    assert sum(results["histogram"]["counts"]) == 80
    assert len(results["histogram"]["edges"]) == len(results["histogram"]["counts"]) + 1
    assert len(results["beta"]["betas"]) == len(results["beta"]["mean"]) == len(results["beta"]["accuracies"])
    assert results["beta"]["chosen"] in results["beta"]["betas"]
    assert sum(results["clusters"]["occupancy"]) == 80
    assert results["failures"] == {}


def test_only_the_folder_of_the_run_is_removed(dataset, monkeypatch, tmp_path):
    monkeypatch.setenv("ELFS_HOME", str(tmp_path / "home"))
    folders = [record.run_folder(dataset, key) for key in ("one", "two")]
    for folder in folders:
        assert folder.is_relative_to(tmp_path)
        folder.mkdir(parents=True)
        (folder / "file").write_text("content")
    record.remove_run_folder(dataset, "one")
    assert not folders[0].exists()
    assert (folders[1] / "file").read_text() == "content"
    record.remove_run_folder(dataset, "two")
    assert list((tmp_path / "home").iterdir()) == []


def test_a_run_that_another_process_has_deleted_since_keeps_nobody_from_a_field(dataset):
    runs.compute_embeddings(dataset, "one")
    runs.compute_embeddings(dataset, "two")
    before = own.own_dataset(dataset)
    assert record.list_runs(before) == ["one", "two"]
    runs.delete_run(dataset, "one")
    with pytest.raises(NameTaken, match="'two_embeddings' that this run did not write"):
        record.check_embeddings_field(before, RunRecord("three"), "two_embeddings")
    assert list(record.records(before)) == ["two"]
