import fiftyone as fo
import pytest

from elfs_plugin import runs
from elfs_plugin.errors import InvalidInput
from elfs_plugin.runs import jobs, journal, record


def findings(dataset, key="elfs"):
    return {finding.code: finding for finding in runs.check_run(runs.Run(dataset, key)).findings}


def test_a_run_that_fits_has_no_findings(written, finished):
    assert runs.check_run(runs.Run(written[0], "elfs")).findings == []
    assert runs.check_run(runs.Run(finished[0], "elfs")) == runs.RunHealth("elfs", [], False)


def test_a_run_that_was_deleted(written):
    dataset, _ = written
    dataset.delete_run("elfs")
    health = runs.check_run(runs.Run(dataset, "elfs"))
    assert health.codes == ["run_deleted"] and health.broken
    assert health.findings[0].operator == "run_elfs"


def test_a_dataset_that_was_deleted(new_dataset):
    dataset = new_dataset(2)
    dataset.delete()
    assert runs.check_run(runs.Run(dataset, "elfs")).codes == ["dataset_deleted"]


def test_samples_deleted_since(written):
    dataset, order = written
    dataset.delete_samples(order[4:6] + order[11:])
    found = findings(dataset)
    assert list(found) == ["samples_deleted"]
    assert found["samples_deleted"].text.startswith("3 of the 12 scored images are gone")
    assert found["samples_deleted"].operator == "update_run"
    assert not runs.check_run(runs.Run(dataset, "elfs")).broken


def test_all_samples_deleted(written):
    dataset, order = written
    dataset.delete_samples(order)
    health = runs.check_run(runs.Run(dataset, "elfs"))
    assert health.codes == ["samples_gone"] and health.broken
    assert health.findings[0].operator == "delete_run"


def test_samples_added_since(written, digits):
    dataset, order = written
    dataset.add_samples([fo.Sample(filepath=str(path)) for path in digits[20:23]])
    found = findings(dataset)
    assert list(found) == ["samples_added"]
    assert found["samples_added"].text.startswith("3 images were added")
    dataset.delete_samples(order[:2])
    assert sorted(findings(dataset)) == ["samples_added", "samples_deleted"]


def test_samples_outside_the_view_of_a_run_were_not_added(dataset):
    runs.run_elfs(dataset[:40], num_clusters=3, budget=10, beta=0)
    assert findings(dataset) == {}


def test_ranks_that_somebody_changed(written):
    dataset, order = written
    dataset.set_values("elfs.rank", {order[11]: 50}, key_field="id")
    assert list(findings(dataset)) == ["ranks_changed"]


@pytest.mark.parametrize(
    ("path", "code", "operator"),
    [
        ("elfs", "field_missing", "compute_pseudo_labels"),
        ("elfs.rank", "rank_missing", "compute_scores"),
        ("elfs.pseudo_label", "label_missing", "compute_pseudo_labels"),
    ],
)
def test_fields_that_were_deleted(written, path, code, operator):
    dataset, _ = written
    dataset.delete_sample_field(path)
    health = runs.check_run(runs.Run(dataset, "elfs"))
    assert health.codes == [code] and health.broken
    assert f"'{path}'" in health.findings[0].text and health.findings[0].operator == operator


def test_a_field_that_was_renamed(written):
    dataset, _ = written
    dataset.rename_sample_field("elfs", "mine")
    found = findings(dataset)
    assert "looks as if it were 'mine'" in found["field_missing"].text
    dataset.rename_sample_field("mine", "elfs")
    assert findings(dataset) == {}


def test_vectors_that_were_deleted(written):
    dataset, _ = written
    dataset.delete_sample_field("vectors")
    health = runs.check_run(runs.Run(dataset, "elfs"))
    assert health.codes == ["vectors_missing"] and not health.broken
    assert "'vectors'" in health.findings[0].text


def test_a_job_at_work(written):
    dataset, _ = written
    with jobs.job(dataset, "elfs", "Searching β", {"only": 1}):
        assert list(findings(dataset)) == ["in_progress"]
        assert findings(dataset)["in_progress"].text.startswith("Searching β is at work")
    with jobs.job(dataset, "new", "Running ELFS", {"only": 1}):
        assert runs.check_run(runs.Run(dataset, "new")).codes == ["in_progress"]  # its first stage is not finished yet


def change_record(dataset, remove=(), **changes):
    config = dataset.get_run_info("elfs").config
    for name in remove:
        delattr(config, name)
    for name, value in changes.items():
        setattr(config, name, value)
    dataset.update_run_config("elfs", config)


def test_a_run_of_a_newer_version_is_shown_but_not_changed(written, state_of):
    dataset, order = written
    change_record(dataset, format=record.FORMAT + 1, future={"a": 1})
    assert list(findings(dataset)) == ["newer_version"]
    assert "update the plugin" in findings(dataset)["newer_version"].text
    assert runs.card(runs.Run(dataset, "elfs"), order[0], 3, 4)["rank"] == 0
    before = state_of(dataset)
    for work in (
        lambda: runs.select_coreset(dataset, budget=3, beta=0),
        lambda: runs.compute_scores(dataset),
        lambda: runs.delete_run(dataset),
    ):
        with pytest.raises(InvalidInput, match="made by a newer version of the plugin"):
            work()
    assert state_of(dataset) == before


def test_a_record_of_the_first_version_is_read_with_defaults(written):
    dataset, _ = written
    change_record(dataset, remove=("format", "ranking", "saved", "brain_keys", "workspace"))
    run = runs.load_record(dataset, "elfs")
    assert (run.format, run.ranking, run.saved, run.brain_keys, run.workspace) == (1, None, {}, [], None)
    assert findings(dataset) == {}
    assert runs.select_coreset(dataset, budget=3, beta=0, tag="kept")["coreset"] == 3
    assert runs.load_record(dataset, "elfs").format == record.FORMAT


@pytest.mark.parametrize(
    "changes",
    [
        {"stages": "text"},
        {"stages": {"scores": 5, "selection": {"hard": "many"}, "beta": {}}},
        {"stages": {"scores": {"scored": -1}}},
        {"saved": {"a": 1}, "tags": "text", "failed": "none", "versions": None},
        {"saved": [{"no tag": 1}, 5, {"tag": "kept"}], "format": "two"},
    ],
)
def test_a_record_that_makes_no_sense_never_raises(written, changes):
    dataset, order = written
    change_record(dataset, **changes)
    run = runs.load_record(dataset, "elfs")
    assert isinstance(run.stages, dict) and isinstance(run.tags, list) and isinstance(run.failed, int)
    assert all(isinstance(details, dict) for details in (*run.stages.values(), *run.saved.values()))
    assert runs.check_run(runs.Run(dataset, "elfs")).key == "elfs"
    runs.ranking_version(run)


def test_results_that_are_lost_or_damaged(written):
    dataset, _ = written
    document = dataset._doc.runs["elfs"]
    document.results.replace(b"{ damaged")
    document.save()
    assert runs.load_results(dataset, "elfs") == {}
    assert list(findings(dataset)) == ["results_missing"]
    journal.save_results(dataset, "elfs", histogram={"counts": [12]})
    assert findings(dataset) == {}
    document.results.delete()
    document.save()
    assert list(findings(dataset)) == ["results_missing"]
