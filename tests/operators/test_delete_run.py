import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs
from elfs_plugin.runs import jobs, record


def test_the_dataset_is_as_before(dataset, operator, execute, state_of):
    dataset.limit(5).tag_samples("mine")
    dataset.save_view("Mine", dataset.limit(4))
    before, tags = state_of(dataset), dataset.values("tags")
    operator("run_elfs")(dataset, num_clusters=5, budget=20, tag="kept", view_name="Kept")
    assert record.run_folder(dataset, "elfs").is_dir()
    assert state_of(dataset) != before
    result = execute("delete_run", dataset)
    assert result.result["fields"] == ["elfs", "elfs_embeddings"]
    assert state_of(dataset) == before
    assert dataset.values("tags") == tags
    assert not record.run_folder(dataset, "elfs").exists()
    sent = [request["operator_uri"] for request in result.executor.to_json()["requests"]]
    assert sent == ["reload_dataset", "notify"]


def test_the_named_run_goes_and_the_other_stays(scored, operator, execute):
    operator("run_elfs")(scored, key="other", num_clusters=4, budget=10, tag="other", beta=0)
    ranks = scored.values("elfs.rank")
    execute("delete_run", scored, key="other")
    assert runs.list_runs(scored) == ["elfs"]
    assert scored.values("elfs.rank") == ranks
    assert scored.has_sample_field("elfs_embeddings") and not scored.has_sample_field("other_embeddings")
    assert scored.count_sample_tags() == {}


def test_without_samples_a_run_can_still_be_deleted(scored, execute):
    scored.delete_samples(scored.values("id"))
    execute("delete_run", scored)
    assert runs.list_runs(scored) == [] and not scored.has_sample_field("elfs")


def test_refusals(scored, execute):
    with pytest.raises(ExecutionError, match="Path: key. Reason: There is no ELFS run 'absent'"):
        execute("delete_run", scored, key="absent")
    with (
        jobs.job(scored, "elfs", "Another job", {"only": 1}),
        pytest.raises(ExecutionError, match="Another job is already running"),
    ):
        execute("delete_run", scored)
    assert runs.list_runs(scored) == ["elfs"] and scored.has_sample_field("elfs.rank")


def test_a_run_of_another_kind_is_left_alone(dataset, execute):
    config = dataset.init_run()
    config.method = "other"
    dataset.register_run("theirs", config)
    with pytest.raises(ExecutionError, match="There is no ELFS run 'theirs'"):
        execute("delete_run", dataset, key="theirs")
    assert dataset.list_runs() == ["theirs"]
