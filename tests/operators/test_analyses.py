"""Comparison, stability, budget curve and audit through their operators."""

import os

import fiftyone as fo
import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs

ANALYSES = ("compare_coresets", "compare_methods", "measure_stability", "budget_curve", "audit")


@pytest.fixture(scope="module")
def analysed(new_dataset, plugin):
    """A dataset of 60 digits with their truth and a finished run; results apart, to be read only."""
    dataset = new_dataset(60)
    truth = [os.path.basename(path).split("_")[1][0] for path in dataset.values("filepath")]
    dataset.set_values("ground_truth", [fo.Classification(label=label) for label in truth])
    dataset.set_values("digit", truth)
    runs.run_elfs(dataset, num_clusters=4, budget=15, beta=0.1, tag="first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugin("elfs_plugin.evaluation.budget_curve"), "STEPS", 20)
        yield dataset


def results(dataset):
    return runs.load_results(dataset, "elfs")


def test_compare(analysed, execute):
    members = ["tag:first", "elfs@beta=0.3,budget=10"]
    summary = execute("compare_coresets", analysed, members=members, seeds=2).result
    found = results(analysed)["comparison"]
    assert found["names"] == members and found["sizes"] == [15, 10]
    assert summary["sentences"] == found["sentences"] and summary["stage"] == "comparison"


def test_compare_methods(analysed, execute, operator):
    summary = execute("compare_methods", analysed, budgets="6, 20%", methods=["ccs", "k_center"], seeds=3).result
    found = results(analysed)["methods"]
    assert found["methods"] == ["random", "ccs", "k_center"] and found["budgets"] == [6, 12]
    assert len(summary["rows"]) == 6 and "true_accuracy" not in summary["rows"][0]
    operator("compare_methods")(analysed, budgets="10%", methods=["moderate"], seeds=1)
    assert results(analysed)["methods"]["budgets"] == [6]


def test_true_labels_are_returned_and_never_kept(analysed):
    options = {"budgets": [10], "methods": ["ccs"], "seeds": 2}
    summary = runs.compare_methods(analysed, truth_field="digit", **options)
    assert 0 <= summary["rows"][0]["true_accuracy"] <= 1 and summary["true_sentences"]
    assert "true" not in str(results(analysed)["methods"])


def test_stability(analysed, execute, operator):
    execute("measure_stability", analysed, seeds=2, coreset="applied")
    assert results(analysed)["stability"]["budget"] == 15
    execute("measure_stability", analysed, seeds=2, coreset="settings", budget=10, budget_unit="percent", beta=0.5)
    assert (results(analysed)["stability"]["budget"], results(analysed)["stability"]["beta"]) == (6, 0.5)
    operator("measure_stability")(analysed, seeds=2, budget=9, beta=0.2)
    assert results(analysed)["stability"]["budget"] == 9


def test_the_budget_curve(analysed, execute, operator):
    execute("budget_curve", analysed, budgets="6, 50%", repeats=1)
    found = results(analysed)["budget_curve"]
    assert found["budgets"] == [6, 30] and found["betas"] == [0.6, 0.1]  # the usual ones
    operator("budget_curve")(analysed, budgets="6;30", beta=0.25, repeats=1)
    assert results(analysed)["budget_curve"]["betas"] == [0.25, 0.25]
    execute("budget_curve", analysed, repeats=1)
    assert results(analysed)["budget_curve"]["budgets"][-1] == 60


def test_the_audit(analysed, execute):
    summary = execute("audit", analysed, seeds=1).result  # ground_truth is there
    assert summary["audited"] == 60 and results(analysed)["audit"]["truth_field"] == "ground_truth"
    execute("audit", analysed, truth_field="digit", seeds=1)
    assert results(analysed)["audit"]["truth_field"] == "digit"


@pytest.mark.parametrize(
    ("name", "params", "path", "words"),
    [
        ("compare_methods", {"budgets": "10, many"}, "budgets", "'many' is no budget"),
        ("compare_methods", {"budgets": "61"}, "budgets", "from 1 to 60"),
        ("compare_methods", {"seeds": 30}, "seeds", "from 1 to 20"),
        ("compare_coresets", {}, "members", "two to 10 coresets to compare, not 0"),
        ("compare_coresets", {"members": ["tag:first"]}, "members", "not 1"),
        ("compare_coresets", {"members": ["tag:first", "tag:gone"]}, "members", "No sample has the tag 'gone'"),
        ("compare_coresets", {"members": ["tag:first", "first"]}, "members", "'first' names no coreset"),
        ("compare_coresets", {"members": ["tag:first", "run:elfs"], "seeds": 0}, "seeds", "from 1 to 50"),
        ("measure_stability", {"seeds": 1}, "seeds", "from 2 to 20"),
        ("measure_stability", {"coreset": "settings", "budget": 0}, "budget", "it is 0"),
        ("measure_stability", {"budget": 30, "beta": 0.9}, "beta", "between 0 and 0.5"),
        ("budget_curve", {"budgets": "ten"}, "budgets", "'ten' is no budget"),
        ("budget_curve", {"budgets": "10, 61"}, "budgets", "it is 61"),
        ("budget_curve", {"budgets": "200%"}, "budgets", "'200%' is no budget"),
        ("budget_curve", {"beta": 1.5}, "beta", "from 0 to below 1"),
        ("budget_curve", {"repeats": 0}, "repeats", "from 1 to 50"),
        ("audit", {"truth_field": "nothing"}, "truth_field", "no field 'nothing'"),
        ("audit", {"truth_field": "elfs.pseudo_label"}, "truth_field", "was written by ELFS"),
        ("audit", {"truth_field": "elfs_embeddings"}, "truth_field", "holds no class for each image"),
        ("audit", {"seeds": True}, "seeds", "must be a whole number, not True"),
    ],
)
def test_forms_refuse(analysed, errors_of, execute, name, params, path, words):
    before = results(analysed)
    assert words in errors_of(name, analysed, **params)[path]
    with pytest.raises(ExecutionError, match=f"Validation error. Path: {path}"):
        execute(name, analysed, **params)
    assert results(analysed) == before


@pytest.mark.parametrize("name", ANALYSES)
def test_no_run_and_no_dataset(dataset, errors_of, execute, name):
    assert "No dataset is open" in errors_of(name, None)["refused"]
    with pytest.raises(ExecutionError, match="Path: key. Reason: There is no ELFS run 'elfs'"):
        execute(name, dataset)


def test_choices_and_defaults(analysed, form):
    assert form("audit", analysed)["truth_field"].default == "ground_truth"
    choices = form("compare_coresets", analysed)["members"].view.to_json()["choices"]
    assert [choice["value"] for choice in choices] == ["run:elfs", "tag:first"]
    assert "budget" not in form("measure_stability", analysed)
    assert {"budget", "beta_mode"} <= set(form("measure_stability", analysed, coreset="settings"))
    assert "beta" not in form("budget_curve", analysed)
    assert "beta" in form("budget_curve", analysed, beta_mode="manual")
    for name in ANALYSES:
        assert form(name, analysed)["progress"].default == "panel"


def test_delegated(analysed, delegate):
    document = delegate("compare_coresets", analysed, members=["tag:first", "run:elfs"], seeds=1)
    assert document.run_state == "completed", document.result.error
    assert document.result.result["key"] == "elfs"
    assert results(analysed)["comparison"]["made"]["settings"]["seeds"] == 1
