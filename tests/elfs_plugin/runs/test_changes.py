import json

import pytest

from elfs_plugin import runs
from elfs_plugin.errors import ElfsError
from elfs_plugin.runs import changes, record


@pytest.fixture
def counts(monkeypatch):
    """How often ranks have been counted by a process that has just started."""
    changes._counted.clear()
    made = []
    save = changes._save
    monkeypatch.setattr(changes, "_save", lambda *args: made.append(1) or save(*args))
    return made


def count(dataset):
    changes._counted.clear()
    return runs.count_changes(dataset, runs.load_record(dataset, "elfs"))


def test_another_process_need_not_count_again(written, counts):
    dataset, _ = written
    record.run_folder(dataset, "elfs").mkdir(parents=True, exist_ok=True)
    first = count(dataset)
    assert count(dataset) == first == changes.Changes(scored=12, present=12, highest=11, added=0)
    assert len(counts) == 1


def test_a_finished_job_leaves_the_count_behind(finished, counts):
    dataset, _ = finished
    assert count(dataset).present == runs.load_record(dataset, "elfs").stages["scores"]["scored"]
    assert not counts


def test_what_happened_since_is_counted(written, digits, counts):
    dataset, order = written
    record.run_folder(dataset, "elfs").mkdir(parents=True, exist_ok=True)
    count(dataset)
    dataset.delete_samples(order[4:6])
    assert (count(dataset).present, count(dataset).deleted) == (10, 2)
    dataset.set_values("elfs.rank", {order[0]: None}, key_field="id")
    assert count(dataset).present == 9
    assert len(counts) == 3


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"state": "x", "changes": {"scored": 1}})])
def test_a_damaged_file_is_passed_over(written, counts, content):
    dataset, _ = written
    folder = record.run_folder(dataset, "elfs")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "changes.json").write_text(content)
    assert count(dataset).present == 12


def test_a_count_that_fails_gives_the_lock_back(dataset, monkeypatch):
    runs.compute_embeddings(dataset)
    runs.compute_pseudo_labels(dataset, num_clusters=3)

    def fail(*_):
        raise RuntimeError("out of order")

    with monkeypatch.context() as broken:
        broken.setattr(changes, "count_changes", fail)
        with pytest.raises(ElfsError):
            runs.compute_scores(dataset)
    assert runs.read_job(dataset, "elfs")["state"] == "failed"
    assert runs.compute_scores(dataset)["stage"]
    assert runs.read_job(dataset, "elfs")["state"] == "completed"
