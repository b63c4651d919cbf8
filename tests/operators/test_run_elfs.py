import threading

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs
from elfs_plugin.runs import jobs

FIELDS = ("elfs.pseudo_label.label", "elfs.aum", "elfs.rank", "elfs.zone")
OPTIONS = dict(num_clusters=5, budget=20, budget_unit="images")


def requests_of(result, name):
    return [r["params"] for r in result.executor.to_json()["requests"] if r["operator_uri"] == name]


def join(name):
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join()


def test_from_python(finished):
    dataset, summary = finished
    assert (summary["samples"], summary["coreset"], summary["clusters"]) == (80, 20, 5)
    assert dataset.count_sample_tags() == {"coreset": 20}
    assert len(dataset.load_saved_view("Coreset")) == 20
    assert runs.load_record(dataset, "elfs").stages["selection"]["coreset"] == 20


def test_delegated_is_the_same(finished, dataset, delegate):
    whole, summary = finished
    document = delegate("run_elfs", dataset, **OPTIONS)
    assert document.run_state == "completed", document.result.error
    assert document.result.result["beta"] == summary["beta"]
    assert dataset.values(FIELDS) == whole.values(FIELDS)


def test_the_stage_operators_in_order_are_the_same(finished, dataset, operator):
    whole, summary = finished
    operator("compute_embeddings")(dataset)
    operator("compute_pseudo_labels")(dataset, num_clusters=5)
    operator("compute_scores")(dataset)
    operator("search_beta")(dataset, budget=20)
    last = operator("select_coreset")(dataset, budget=20)
    assert last["beta"] == summary["beta"]
    assert dataset.values(FIELDS) == whole.values(FIELDS)


def test_a_view_from_python(dataset, operator):
    view = dataset[10:50]
    summary = operator("run_elfs")(view, num_clusters=3, budget=0.25, beta=0.1)
    assert (summary["samples"], summary["coreset"], summary["hard"]) == (40, 10, 4)
    assert sorted(view.values("elfs.rank")) == list(range(40))
    assert len(dataset.exists("elfs.rank", False)) == 40


def test_the_selection_of_the_app(dataset):
    chosen = dataset.values("id")[20:50]
    params = {"num_clusters": 3, "budget": 10}
    context = {"dataset": dataset, "params": params, "selected": chosen, "view_target": "SELECTED_SAMPLES"}
    assert foo.execute_operator("@elfs/coreset/run_elfs", context).result["samples"] == 30
    assert set(dataset.exists("elfs.rank").values("id")) == set(chosen)


def test_the_defaults_are_enough(dataset, execute):
    summary = execute("run_elfs", dataset).result
    assert (summary["key"], summary["clusters"], summary["coreset"]) == ("elfs", 10, 8)


def test_the_vectors_of_a_field(dataset, execute):
    rng = np.random.default_rng(0)
    dataset.add_sample_field("clip", fo.VectorField)
    dataset.set_values("clip", list(4 * np.eye(6)[np.arange(80) % 5] + 0.2 * rng.normal(size=(80, 6))))
    summary = execute("run_elfs", dataset, source="field", **OPTIONS).result
    assert summary["embeddings_field"] == "clip"
    assert not dataset.has_sample_field("elfs_embeddings")


def test_the_dialog_shows_the_bar(dataset, execute):
    result = execute("run_elfs", dataset, progress="dialog", **OPTIONS)
    bars = requests_of(result, "set_progress")
    assert [bar["progress"] for bar in bars] == sorted(bar["progress"] for bar in bars)
    assert (bars[-1]["progress"], bars[-1]["label"]) == (1.0, "Done")
    for stage in ("Embedding images (1/7)", "Clustering (TEMI) (3/7)", "Searching β (5/7)"):
        assert any(bar["label"].startswith(stage) for bar in bars)
    assert requests_of(result, "reload_dataset")
    assert [note["variant"] for note in requests_of(result, "notify")] == ["success"]
    assert len(runs.zone_view(runs.Run(dataset, "elfs"), "coreset")) == 20


def test_the_panel_shows_the_bar(dataset, execute):
    result = execute("run_elfs", dataset, progress="panel", **OPTIONS)
    join("run_elfs")
    assert requests_of(result, "open_panel")[0]["name"] == "coreset_panel"
    assert "The ELFS Coreset panel shows the progress" in requests_of(result, "notify")[0]["message"]
    state = jobs.read_job(dataset, "elfs")
    assert (state["state"], state["overall"], state["operation"]) == ("completed", 1.0, "Running ELFS")
    assert len(runs.zone_view(runs.Run(dataset, "elfs"), "coreset")) == 20


def test_the_terminal_shows_the_bar(dataset, execute, capsys):
    execute("run_elfs", dataset, progress="terminal", **OPTIONS)
    shown = "".join(capsys.readouterr())
    assert "Clustering (TEMI)" in shown and "100" in shown


@pytest.mark.parametrize("progress", ["dialog", "panel"])
def test_a_second_job_is_refused_in_the_app(dataset, execute, progress):
    with jobs.job(dataset, "elfs", "Another job", {"only": 1}):
        result = execute("run_elfs", dataset, progress=progress, **OPTIONS)
    notes = requests_of(result, "notify")
    assert [note["variant"] for note in notes] == ["error"]
    assert "Another job is already running with the run key 'elfs'" in notes[0]["message"]
    assert not requests_of(result, "open_panel")
    assert not dataset.has_sample_field("elfs")


def test_a_second_job_is_refused_from_python(dataset, operator):
    with (
        jobs.job(dataset, "elfs", "Another job", {"only": 1}),
        pytest.raises(ExecutionError, match="Another job is already running"),
    ):
        operator("run_elfs")(dataset, num_clusters=5, budget=20)
    assert operator("run_elfs")(dataset, num_clusters=5, budget=20)["coreset"] == 20


def test_a_failure_in_the_dialog_is_a_sentence(dataset, execute, plugin, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(plugin("elfs_plugin.stages"), "train_proxy", fail)
    result = execute("run_elfs", dataset, progress="dialog", **OPTIONS)
    assert requests_of(result, "notify")[-1]["message"].startswith("Out of memory")
    assert requests_of(result, "set_progress")[-1]["label"].startswith("Out of memory")
    with pytest.raises(ExecutionError, match="Out of memory. .* resumes from the last finished stage"):
        execute("run_elfs", dataset, **OPTIONS)
    monkeypatch.undo()
    summary = execute("run_elfs", dataset, **OPTIONS).result
    assert summary["resumed"] == ["embeddings", "neighbors", "pseudo_labels"]


def test_cancelled_from_the_panel(dataset, execute, plugin, monkeypatch):
    library = plugin("elfs_plugin.stages")
    train = library.train_proxy

    def cancel_then_train(*args, **kwargs):
        assert jobs.request_cancel(dataset, "elfs")
        return train(*args, **kwargs)

    monkeypatch.setattr(library, "train_proxy", cancel_then_train)
    result = execute("run_elfs", dataset, progress="dialog", **OPTIONS)
    assert requests_of(result, "notify")[-1]["message"].startswith("Cancelled. What was finished is kept")
    assert jobs.read_job(dataset, "elfs")["state"] == "cancelled"
    assert "selection" not in runs.load_record(dataset, "elfs").stages


def test_bad_files_do_not_stop_a_run(new_dataset, bad_files, execute):
    dataset = new_dataset(40, extra=bad_files)
    summary = execute("run_elfs", dataset, num_clusters=4, budget=50, budget_unit="percent").result
    assert (summary["samples"], summary["failed"], summary["coreset"]) == (40, len(bad_files), 20)
    failures = runs.load_results(dataset, "elfs")["failures"]
    assert {dataset[i].filepath for i in failures} == set(bad_files)


@pytest.mark.parametrize("choice", [{"clusters_mode": "auto"}, {"num_clusters": "auto"}])
def test_estimated_clusters(operator, dataset, choice):
    options = {name: value for name, value in OPTIONS.items() if name != "num_clusters"}
    summary = operator("run_elfs")(dataset, **options, **choice, beta=0.0)
    assert summary["clusters"] >= 2 and summary["estimate"]


def test_the_coreset_of_another_method_beside_the_zones(dataset, execute):
    params = dict(num_clusters=4, budget=20, beta=0.1, tag="kept", view_name="Kept")
    summary = execute("run_elfs", dataset, **params, method="auto").result
    assert summary["method"] == "graph_coverage" and "20 of 80" in summary["recommended"]["reason"]
    assert (summary["hard"], summary["coreset"], summary["easy"]) == (8, 20, 52)
    assert dataset.count_sample_tags() == {"kept": 20} and len(dataset.load_saved_view("Kept")) == 20
    assert runs.load_record(dataset, "elfs").saved["kept"]["method"] == "graph_coverage"
    alone = execute("select_coreset", dataset, method="graph_coverage", budget=20, tag="alone").result
    assert alone["coreset"] == 20
    assert dataset.match_tags("alone").values("id") == dataset.match_tags("kept").values("id")
    execute("run_elfs", dataset, **params)
    assert dataset.count_sample_tags() == {"alone": 20, "kept": 20}
    assert set(dataset.match_tags("kept").values("elfs.zone")) == {"coreset"}
