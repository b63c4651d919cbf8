"""``select_coreset`` with the other methods: forms out of typed parameters."""

import pytest

from elfs_plugin import selectors

OTHERS = sorted(set(selectors.available()) - {"elfs"})


@pytest.mark.parametrize("method", OTHERS)
def test_the_form_has_every_parameter_with_its_default(scored, form, method):
    found = form("select_coreset", scored, key="elfs", method=method)
    for parameter in selectors.available()[method]["parameters"]:
        prop = found[f"param_{parameter.name}"]
        assert prop.default == parameter.default
        assert prop.to_json()["view"]["description"] == parameter.text
    assert {"quota", "veto", "labels_field", "locked_tag", "seed"} <= set(found)
    assert found["tag"].default == f"elfs_{method}"


def test_all_methods_are_offered_and_the_plain_form_stays_small(scored, form):
    found = form("select_coreset", scored, key="elfs")
    assert set(found["method"].type.values) == set(selectors.available())
    assert "beta_mode" in found and "quota" not in found


def test_a_wrong_parameter_is_said_in_the_form(scored, errors_of):
    params = {"key": "elfs", "method": "ccs", "param_strata": 0, "veto": 1.5}
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
