import pytest
from fiftyone.operators.executor import ExecutionError


def test_a_precut_is_asked_for_where_there_are_many_images(dataset, form, plugin, monkeypatch):
    assert not {"precut", "kept_tag"} & set(form("run_elfs", dataset))
    assert {"precut", "kept_tag"} <= set(form("run_elfs", dataset, precut="40"))
    monkeypatch.setattr(plugin("operators.precut_forms"), "ABOVE", 79)
    assert {"precut", "kept_tag"} <= set(form("run_elfs", dataset))


def test_a_precut_from_the_form(dataset, execute, form, errors_of):
    dataset.limit(3).tag_samples("done")
    given = {"num_clusters": 4, "budget": 10, "budget_unit": "images", "beta_mode": "manual", "beta": 0.1}
    assert errors_of("run_elfs", dataset, **given, precut="40", kept_tag="done") == {}
    assert "No image has the tag 'gone'" in errors_of("run_elfs", dataset, **given, kept_tag="gone")["kept_tag"]
    with pytest.raises(ExecutionError, match="precut is 'auto', 'off' or how many images"):
        execute("run_elfs", dataset, **given, precut="many")
    summary = execute("run_elfs", dataset, **given, precut="40", kept_tag="done").result
    assert 37 >= summary["cut_away"] and summary["samples"] == 80 - summary["cut_away"]
    dataset.reload()
    assert None not in dataset.match_tags("done").values("elfs.rank")
    left_out = f"the {summary['cut_away']} that the pre-cut left out do not count here"
    assert left_out in form("select_coreset", dataset)["budget"].view.description
