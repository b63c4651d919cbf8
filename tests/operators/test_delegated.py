import fiftyone.operators as foo
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs
from elfs_plugin.runs import jobs

OPTIONS = dict(num_clusters=5, budget=20, budget_unit="images")


def test_progress_reaches_the_operation_and_the_store(dataset, delegate, monkeypatch):
    reports = []
    real = DelegatedOperationService.set_progress

    def spy(self, doc_id, progress):
        reports.append((progress.progress, progress.label))
        return real(self, doc_id, progress)

    monkeypatch.setattr(DelegatedOperationService, "set_progress", spy)
    document = delegate("run_elfs", dataset, **OPTIONS)
    assert document.run_state == "completed", document.result.error
    assert document.status.progress == 1.0
    assert document.status.label == "Writing to the dataset (7/7)"
    assert [progress for progress, _ in reports] == sorted(progress for progress, _ in reports)
    assert any(label.startswith("Clustering (TEMI) (3/7)") for _, label in reports)
    assert jobs.read_job(dataset, "elfs")["state"] == "completed"


def test_a_view_is_delegated(dataset, operator):
    operator("run_elfs")(dataset[:40], request_delegation=True, num_clusters=3, budget=10)
    assert not runs.list_runs(dataset)
    DelegatedOperationService().execute_queued_operations(dataset_name=dataset.name)
    assert runs.load_record(dataset, "elfs").stages["scores"]["scored"] == 40
    assert len(dataset.exists("elfs.rank")) == 40


def test_each_stage_is_delegated(dataset, delegate):
    for name, params in (
        ("compute_embeddings", {}),
        ("compute_pseudo_labels", {"num_clusters": 5}),
        ("compute_scores", {}),
        ("search_beta", {"budget": 0.25, "repeats": 1}),
        ("select_coreset", {"budget": 0.25}),
    ):
        document = delegate(name, dataset, **params)
        assert document.run_state == "completed", document.result.error
        assert document.result.result["key"] == "elfs"
    assert dataset.count_values("elfs.zone")["coreset"] == 20


def test_a_failure_is_on_the_operation(dataset, delegate, plugin, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(plugin("elfs_plugin.stages"), "cluster", fail)
    document = delegate("run_elfs", dataset, **OPTIONS)
    assert document.run_state == "failed"
    assert "Out of memory. Close other programs" in document.result.error
    assert jobs.read_job(dataset, "elfs")["state"] == "failed"
    monkeypatch.undo()
    document = delegate("run_elfs", dataset, **OPTIONS)
    assert document.run_state == "completed", document.result.error
    assert document.result.result["resumed"] == ["embeddings", "neighbors"]


def test_a_wrong_request_is_refused_before_it_is_queued(dataset):
    request = {"dataset": dataset, "params": {"num_clusters": 1}, "request_delegation": True}
    try:
        foo.execute_operator("@elfs/coreset/run_elfs", request)
    except ExecutionError as error:
        assert "between 2 and 80" in str(error)
    else:
        raise AssertionError("a run with one cluster was queued")
    assert DelegatedOperationService().list_operations(dataset_name=dataset.name) == []


def test_the_form_asks_for_no_bar_when_delegated(dataset, form):
    assert "progress" in form("run_elfs", dataset)
    assert "progress" not in form("run_elfs", dataset, delegated=True)
