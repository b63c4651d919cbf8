"""The proxy of a form: one of the list, or any model of timm."""

import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs

INPUTS = [("compute_scores", "proxy"), ("search_beta", "proxy"), ("run_elfs", "proxy"), ("run_elfs", "beta_proxy")]


@pytest.mark.parametrize(("name", "field"), INPUTS)
@pytest.mark.parametrize("proxy", ["auto", "mlp", "resnet8", "resnet18", "resnet18_fast", "timm:resnet18"])
def test_accepted(finished, errors_of, name, field, proxy):
    assert errors_of(name, finished[0], **{field: proxy}) == {}


@pytest.mark.parametrize(("name", "field"), INPUTS)
@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("timm:nonsense", "timm has no model named 'nonsense'"),
        ("timm:", "Unknown proxy 'timm:'. Use 'auto', 'mlp'"),
        ("resnet34", "Unknown proxy 'resnet34'. Use 'auto', 'mlp'"),
    ],
)
def test_refused_with_the_reason(finished, errors_of, operator, name, field, proxy, words):
    assert words in errors_of(name, finished[0], **{field: proxy})[field]
    with pytest.raises(ExecutionError, match=words):
        operator(name)(finished[0], **{field: proxy})


def test_the_list_is_of_suggestions_that_are_accepted(finished, form, errors_of):
    for name, field in INPUTS:
        view = form(name, finished[0])[field].view
        assert view.to_json()["allow_user_input"]
        assert {choice.value for choice in view.choices} >= {"auto", "mlp", "resnet8", "resnet18"}
        for choice in view.choices:
            assert errors_of(name, finished[0], **{field: choice.value}) == {}


def test_a_model_of_timm_makes_scores(new_dataset, operator):
    dataset = new_dataset(40)
    runs.compute_embeddings(dataset)
    runs.compute_pseudo_labels(dataset, num_clusters=4)
    summary = operator("compute_scores")(dataset, proxy="timm:resnet10t", epochs=1, image_size=32)
    assert summary["samples"] == 40
    stage = runs.load_record(dataset, "elfs").stages["scores"]
    assert (stage["proxy"]["kind"], stage["proxy"]["model"], stage["epochs"]) == ("timm", "resnet10t", 1)
    assert sorted(dataset.values("elfs.rank")) == list(range(40))
