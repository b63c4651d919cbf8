"""``select_coreset`` with the other methods: forms out of typed parameters."""

import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs, selectors

OTHERS = sorted(set(selectors.available()) - {"elfs"})


@pytest.mark.parametrize("method", OTHERS)
def test_the_form_has_every_parameter_with_its_default(scored, form, method):
    found = form("select_coreset", scored, key="elfs", method=method)
    for parameter in selectors.available()[method]["parameters"]:
        prop = found[f"param_{parameter.name}"]
        assert prop.default == parameter.default
        assert prop.to_json()["view"]["description"] == parameter.text
    assert {"quota", "veto_mode", "labels_field", "locked_tag", "seed"} <= set(found)
    assert found["tag"].default == f"elfs_{method}"


def test_all_methods_are_offered_and_the_plain_form_stays_small(scored, form):
    found = form("select_coreset", scored, key="elfs")
    assert set(found["method"].type.values) == {"auto", *selectors.available()}
    assert found["method"].default == "auto"
    found = form("select_coreset", scored, key="elfs", method="elfs")
    assert "beta_mode" in found and "quota" not in found


def test_the_recommendation_is_said_in_the_form(scored, form, execute):
    asked = {"key": "elfs", "budget": 10, "budget_unit": "percent"}
    found = form("select_coreset", scored, **asked)
    said = found["advice"].view.label
    assert said.startswith("Recommended: graph_coverage. 8 of 80 images (10.0%, about 1.6 for each cluster)")
    assert "Second: k_medoids" in said and not any(name.startswith("param_") for name in found)
    network = form("select_coreset", scored, **asked, learner="network")["advice"].view.label
    assert "for a network that learns from these images alone" in network
    assert "advice" not in form("select_coreset", scored, **{**asked, "budget": 200})
    before = form("run_elfs", scored, method="auto", budget=10, budget_unit="percent")["advice"].view.label
    assert before.startswith("Recommended: graph_coverage. 8 of 80 images (10.0%)")


def test_auto_takes_what_it_recommends(scored, execute):
    summary = execute("select_coreset", scored, method="auto", budget=8).result
    assert summary["method"] == "graph_coverage" and summary["tag"] == "elfs_recommended"
    assert summary["recommended"]["second"] == "k_medoids" and "8 of 80" in summary["recommended"]["reason"]
    assert scored.count_sample_tags() == {"elfs_recommended": 8}
    kept = runs.load_record(scored, "elfs").saved["elfs_recommended"]
    assert kept["method"] == "graph_coverage" and kept["recommended"] == summary["recommended"]
    again = execute("select_coreset", scored, method="graph_coverage", budget=8, tag="again").result
    assert again["recommended"] is None
    assert scored.match_tags("again").values("id") == scored.match_tags("elfs_recommended").values("id")


def test_learners_are_for_auto_alone(scored, operator):
    with pytest.raises(ExecutionError, match="learner='network' would have no effect"):
        operator("select_coreset")(scored, method="zcore", learner="network", budget=8)


def test_a_wrong_parameter_is_said_in_the_form(scored, errors_of):
    params = {"key": "elfs", "method": "ccs", "param_strata": 0, "veto_mode": "similarity", "veto": 1.5}
    assert set(errors_of("select_coreset", scored, **params)) == {"param_strata", "veto"}


def test_chooses_tags_and_saves(scored, execute):
    params = {"method": "ccs", "budget": 9, "budget_unit": "images", "param_strata": 5, "quota": "equal", "seed": 2}
    summary = execute("select_coreset", scored, **params, tag="ccs_9", view_name="CCS").result
    assert (summary["method"], summary["coreset"]) == ("ccs", 9)
    assert scored.count_sample_tags() == {"ccs_9": 9}
    scored.reload()
    assert len(scored.load_saved_view("CCS")) == 9


def test_compared_beside_elfs(scored, execute):
    execute("select_coreset", scored, budget=20, beta=0.1)
    execute("select_coreset", scored, method="k_center", budget=20)
    summary = execute("compare_coresets", scored, members=["run:elfs", "tag:elfs_k_center"], seeds=2).result
    assert [member["name"] for member in summary["members"]] == ["run:elfs", "tag:elfs_k_center"]


def test_a_veto_is_previewed_and_kept(scored, form, errors_of, execute):
    values = {"key": "elfs", "method": "random", "veto_mode": "quantile", "veto_share": 20}
    said = form("select_coreset", scored, **values)["veto_preview"].view.to_json()["label"]
    groups = int(said.split(" images are in ")[1].split()[0])
    possible = int(said.rsplit(" can have ", 1)[1].rstrip("."))
    assert groups >= 1 and possible < 80
    assert "from 0 to 1" in errors_of("select_coreset", scored, **{**values, "veto_share": 200})["veto_share"]
    summary = execute("select_coreset", scored, **values, budget=possible, budget_unit="images").result
    assert summary["coreset"] == possible and summary["threshold"] < 1
    with pytest.raises(ExecutionError, match="Only .* can be chosen once near-duplicates are left out"):
        execute("select_coreset", scored, **values, budget=possible + 1, budget_unit="images", tag="more")
    execute("select_coreset", scored, method="random", budget=0.1, veto=0.999, tag="by_number")  # as from Python
