"""Parameters from Python: known by name, of any fitting type, and refused in a sentence before anything is done."""

import asyncio
import enum
import re
from decimal import Decimal
from fractions import Fraction

import fiftyone as fo
import numpy as np
import pytest
import torch
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs

ODD = (
    5,
    -1,
    1.5,
    float("nan"),
    float("inf"),
    10**30,
    10**400,
    True,
    "banana",
    "x" * 300,
    "日本語",
    "\ud800",
    [],
    ["a"],
    [1],
    {},
    {"a": 1},
    (1, 2),
    np.array([1.0, 2.0]),
    np.float32(0.5),
    np.int64(3),
    np.str_("s"),
    b"bytes",
    object(),
    None,
)
TEXTS = ("banana", "x" * 300, "日本語", "\ud800", "a.b")
NAMES = (
    "run_elfs",
    "compute_embeddings",
    "compute_pseudo_labels",
    "compute_scores",
    "search_beta",
    "select_coreset",
    "budget_curve",
    "compare_coresets",
    "compare_methods",
    "measure_stability",
    "audit",
    "next_batch",
    "send_batch",
    "take_back",
    "learn_labels",
    "export_coreset",
    "update_run",
    "visualize",
    "delete_run",
)
MODES = {
    "select_coreset": ({}, {"method": "ccs"}, {"method": "random", "veto_mode": "quantile"}),
    "run_elfs": ({}, {"source": "field"}),
}


@pytest.fixture(scope="module")
def finished(new_dataset, operator):
    """A finished run of this module's own, whose selection its tests change."""
    dataset = new_dataset()
    return dataset, operator("run_elfs")(dataset, num_clusters=5, budget=20, tag="coreset", view_name="Coreset")


def refusal(operator, name, collection, **params):
    """The text of the error that a call from Python ends with."""
    with pytest.raises(ExecutionError) as caught:
        operator(name)(collection, **params)
    assert "Traceback" not in str(caught.value) and "Validation error" not in str(caught.value)
    return str(caught.value)


def test_every_value_is_plain_or_refused(operator, plugin):
    """Forms see no other types than they declare, and JSON and the database can keep what is left."""
    import json

    read = plugin("operators.parameters").read
    for takes in {operator(name).takes for name in NAMES}:
        for parameter in ("key", "progress", "param_strata", *takes):
            for value in ODD:
                params, refused = read({parameter: value}, takes)
                assert json.dumps(params) and len(str(refused)) < 900


@pytest.mark.parametrize("name", NAMES)
def test_no_text_makes_a_form_fail(finished, form, operator, name, caplog):
    for at, parameter in enumerate(("key", "progress", *operator(name).takes)):
        for mode in MODES.get(name, ({},)):
            shown = form(name, finished[0], **{**mode, parameter: TEXTS[at % len(TEXTS)]})
            raw = [record.exc_info[1] for record in caplog.records if record.exc_info]
            assert shown and not raw, (parameter, raw)


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_name_is_refused_with_the_closest(finished, operator, execute, name):
    assert "There is no parameter 'kye'. Did you mean 'key'?" in refusal(operator, name, finished[0], kye="elfs")
    with pytest.raises(ExecutionError, match="There is no parameter 'kye'"):
        execute(name, finished[0], kye="elfs")


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("run_elfs", {"bugdet": 0.5}, "no parameter 'bugdet'. Did you mean 'budget'?"),
        ("run_elfs", {"clusters": 10}, "no parameter 'clusters'. Did you mean '.*clusters.*'?"),
        ("run_elfs", {"budget": 2.0}, "it is 2.0. Write 2 for so many images, or a percentage"),
        ("run_elfs", {"budget": [5]}, r"budget must be a number, not \[5\]"),
        ("run_elfs", {"budget": "many"}, "'many' is no budget"),
        ("run_elfs", {"beta": "abc"}, "β must be a number, not 'abc'"),
        ("run_elfs", {"beta": 0.3, "beta_mode": "auto"}, "contradicts beta_mode='auto'"),
        ("run_elfs", {"num_clusters": 5, "clusters_mode": "auto"}, "contradicts clusters_mode='auto'"),
        ("run_elfs", {"num_clusters": "ten"}, "must be a whole number or 'auto', not 'ten'"),
        ("run_elfs", {"encoder": 5}, "encoder must be a text, not 5"),
        ("run_elfs", {"encoder": "resnet18"}, "Unknown encoder 'resnet18'. Use pixels, lite0, timm:<model>"),
        ("run_elfs", {"embeddings_field": 7}, "embeddings_field must be a text, not 7"),
        ("run_elfs", {"key": "other", "embeddings_field": "_e"}, "'_e' cannot be a field name"),
        ("run_elfs", {"key": "k", "embeddings_field": "k"}, "to hold the other results of the run 'k'"),
        ("run_elfs", {"key": "k" * 300}, "too long for a run key"),
        ("run_elfs", {"key": ["elfs"]}, "key must be a text"),
        ("run_elfs", {"key": "$x"}, r"'\$x' cannot be a run key"),
        ("run_elfs", {"key": "a\0b"}, "key holds a character that no database can keep"),
        ("export_coreset", {"key": "$x"}, r"There is no ELFS run '\$x'"),
        ("run_elfs", {"key": "elfs_embeddings"}, "a field 'elfs_embeddings' that cannot hold the results of a run"),
        ("compute_embeddings", {"key": "other", "embeddings_field": "elfs"}, "is for the results of the run 'elfs'"),
        ("run_elfs", {"beta": 0.1, "repeats": 5}, "repeats=5 would have no effect: β is given"),
        ("run_elfs", {"beta": 0.1, "beta_proxy": "banana"}, "beta_proxy='banana' would have no effect"),
        ("run_elfs", {"budget": 10**30}, r"from 1 to 80; it is 1e\+30\.$"),
        ("run_elfs", {"seed": -1}, "The seed must be a whole number from 0"),
        ("run_elfs", {"neighbors": 0}, "neighbours must be a whole number from 1"),
        ("run_elfs", {"image_size": 2}, "image size must be a whole number"),
        ("run_elfs", {"epochs": 1.5}, "epochs must be a whole number"),
        ("run_elfs", {"preset": "quik"}, "Use one of: auto, quick, published. Did you mean 'quick'"),
        ("run_elfs", {"proxy": "resnet"}, "Unknown proxy 'resnet'"),
        ("run_elfs", {"device": "gpu0"}, "The device 'gpu0' cannot be used"),
        ("run_elfs", {"weights": __file__}, "A weights file goes with an encoder timm:<model>"),
        ("run_elfs", {"encoder": "zoo:a", "weights": __file__}, "zoo:a takes none"),
        ("run_elfs", {"source": "field", "encoder": "pixels"}, "encoder='pixels' would have no effect"),
        ("run_elfs", {"key": "other", "view_name": "coreset"}, "'Coreset' already exists.*does not tell from"),
        ("run_elfs", {"view_name": "///"}, "at least one Latin letter or digit"),
        ("run_elfs", {"tag": " "}, "A tag needs at least one character"),
        ("run_elfs", {"progress": "panel"}, "'panel' and 'dialog' are for the App"),
        ("select_coreset", {"method": "banana"}, "Unknown method 'banana'. Use one of: auto, elfs, random"),
        ("select_coreset", {"method": "random", "veto_mode": "quantil"}, "Unknown veto_mode 'quantil'"),
        ("select_coreset", {"method": "random", "veto": 10**30}, "similarity must be above -1 and at most 1"),
        ("select_coreset", {"method": "herdin"}, "Did you mean 'herding'?"),
        ("select_coreset", {"method": "random", "beta": 0.2}, "beta=0.2 would have no effect: β is for the method"),
        ("select_coreset", {"quota": "equal"}, "quota='equal' would have no effect"),
        ("select_coreset", {"method": "ccs", "param_stratta": 5}, "Did you mean 'param_strata'"),
        ("select_coreset", {"method": "random", "param_strata": 5}, "'random' has no such parameter"),
        ("select_coreset", {"method": "random", "locked_tag": "gone"}, "No image has the tag 'gone'"),
        ("select_coreset", {"method": "random", "veto": {"quantile": 3}}, "quantile must be from 0 to 1"),
        ("compare_methods", {"methods": ["ccs", "herdin"]}, "Unknown selector 'herdin'"),
        ("compare_methods", {"budgets": [0.1, "many"]}, "'many' is no budget"),
        ("compare_coresets", {"members": [5, 6]}, "members must be a list of texts or dicts"),
        ("compare_coresets", {"members": [{"run": "elfs", "beta": "x"}, "tag:coreset"]}, "names no coreset"),
        ("select_coreset", {"method": "random", "veto_share": 5}, "veto_share=5 would have no effect"),
        ("select_coreset", {"method": "random", "veto_mode": "none", "veto": 0.9}, "veto=0.9 would have no effect"),
        ("measure_stability", {"budget_unit": "banana"}, "Unknown budget_unit 'banana'. Use one of: percent, images"),
        ("measure_stability", {"budget_unit": "images"}, "needs a budget as well"),
        ("measure_stability", {"coreset": "applied", "budget": 5}, "budget=5 would have no effect"),
        ("export_coreset", {"overwrite": "yes"}, "overwrite is either True or False"),
        ("audit", {"truth_field": 5}, "truth_field must be a text"),
    ],
)
def test_refusals(finished, operator, state_of, name, params, words):
    before = state_of(finished[0])
    assert re.search(words, refusal(operator, name, finished[0], **params))
    assert state_of(finished[0]) == before


def test_what_is_no_dataset(operator, new_dataset):
    gone = new_dataset(1)
    gone.delete()
    for wrong in ("no such dataset", None, 5, [1], gone):
        with pytest.raises(ExecutionError, match="Give a FiftyOne dataset or a view|has been deleted"):
            operator("run_elfs")(wrong)


def test_numbers_of_other_types(dataset, operator, new_dataset):
    summary = operator("run_elfs")(
        dataset,
        num_clusters=np.int64(5),
        budget="10%",
        beta=np.float32(0.2),
        seed=np.int64(0),
        encoder=np.str_("pixels"),
    )
    assert (summary["clusters"], summary["coreset"], summary["beta"], summary["hard"]) == (5, 8, 0.2, 16)
    for beta, hard in (("0.1", 8), ("20%", 16), (np.int64(0), 0), (0, 0)):
        assert operator("select_coreset")(dataset, budget=np.int64(8), beta=beta)["hard"] == hard
    assert operator("select_coreset")(dataset, budget=np.float32(0.7), beta=0)["coreset"] == 56
    chosen = operator("select_coreset")(
        dataset, method="ccs", budget=8, param_strata=np.int64(5), tag="ccs", veto={"quantile": 1}
    )
    assert chosen["coreset"] == 8 and chosen["tag"] == "ccs"


def test_numbers_and_texts_of_other_libraries(finished, operator, plugin, execute):
    read = plugin("operators.parameters").read
    takes = ("budget", "beta", "tag", "num_clusters")
    for given, plain in (
        (Decimal("0.2"), 0.2),
        (Decimal("8"), 8),
        (Fraction(1, 5), 0.2),
        (Fraction(8), 8),
        (torch.tensor(0.2), 0.2),
        (torch.tensor(8), 8),
        (np.array(0.2), 0.2),
        (torch.tensor(0.25).bfloat16(), 0.25),
        (torch.tensor(0.5, requires_grad=True), 0.5),
    ):
        params, refused = read({"budget": given}, takes)
        assert params == {"budget": plain} and type(params["budget"]) is type(plain) and not refused
    assert read({"num_clusters": torch.tensor(5)}, takes)[0] == {"num_clusters": 5}
    assert read({"beta": Decimal("sNaN")}, takes)[0]["beta"] != 0

    class Tags(str, enum.Enum):
        MINE = "mine"

    assert read({"tag": Tags.MINE}, takes)[0] == {"tag": "mine"}
    assert execute("select_coreset", finished[0], budget=20, beta=0.1, progress=True).result["coreset"] == 20


def test_a_member_is_a_text_or_a_dict(finished, execute, delegate):
    dataset = finished[0]
    now = {"run": "elfs", "beta": 0.1, "budget": 10, "name": "β 10%, 10 images"}
    for members in ([now, "tag:coreset"], ["tag:coreset", now], [{"tag": "coreset"}, now], ["tag:coreset", "run:elfs"]):
        summary = execute("compare_coresets", dataset, members=members, seeds=1).result
        assert len(summary["members"]) == 2
    assert delegate("compare_coresets", dataset, members=[now, "tag:coreset"], seeds=1).run_state == "completed"
    with pytest.raises(ExecutionError, match="names no coreset"):
        execute("compare_coresets", dataset, members=[{"run": "elfs", "bta": 0.1}, "tag:coreset"])


def test_a_call_waits_for_no_clock_of_fiftyone(finished, operator, monkeypatch):
    """FiftyOne's executor, with its limit of ten minutes, is not asked."""
    import fiftyone.operators as foo

    def never(*args, **kwargs):
        raise AssertionError("FiftyOne's executor was asked")

    monkeypatch.setattr(foo, "execute_operator", never)
    assert operator("select_coreset")(finished[0], budget=20, beta=0.1)["coreset"] == 20


def test_in_a_notebook(finished, operator):
    """Where an event loop runs a call gives the summary, raises errors, and queues."""

    async def cell():
        summary = operator("select_coreset")(finished[0], budget=20, beta=0.1)
        with pytest.raises(ExecutionError, match="it is -3"):
            operator("select_coreset")(finished[0], budget=-3)
        queued = operator("select_coreset")(finished[0], budget=20, request_delegation=True)
        return summary, queued

    summary, queued = asyncio.run(cell())
    assert summary["coreset"] == 20 and str(queued["run_state"]) == "queued"
    from fiftyone.operators.delegated import DelegatedOperationService

    DelegatedOperationService().delete_operation(queued["id"])


def test_an_error_that_nobody_expected_is_a_sentence(finished, operator, plugin, monkeypatch):
    def fails(*args, **kwargs):
        raise KeyError("scores")

    monkeypatch.setattr(plugin("elfs_plugin.runs"), "select_coreset", fails, raising=False)
    text = refusal(operator, "select_coreset", finished[0], budget=20, beta=0.1)
    assert text.startswith("Something unexpected happened (KeyError: 'scores'). Your data is unharmed")


def test_progress_in_the_terminal(finished, operator, capsys, monkeypatch):
    for progress, shown in ((None, False), (False, False), (True, True), ("terminal", True)):
        operator("select_coreset")(finished[0], budget=20, beta=0.1, progress=progress)
        assert ("100%" in capsys.readouterr().err) is shown
    monkeypatch.setattr(fo.config, "show_progress_bars", True)
    operator("select_coreset")(finished[0], budget=20, beta=0.1)
    assert "100%" in capsys.readouterr().err


def test_delete_without_a_key_never_takes_another_run(new_dataset, operator, execute, errors_of):
    dataset = new_dataset(2)
    from elfs_plugin.runs import record

    record.save_record(dataset, record.RunRecord("paper_baseline"))
    assert "no ELFS run 'elfs' on this dataset (runs: paper_baseline)" in refusal(operator, "delete_run", dataset)
    with pytest.raises(ExecutionError, match=r"Choose the run to delete \(runs: paper_baseline\)"):
        execute("delete_run", dataset)
    assert "Choose the run" in errors_of("delete_run", dataset)["key"]
    record.save_record(dataset, record.RunRecord("elfs"))
    assert operator("delete_run")(dataset)["key"] == "elfs"
    assert runs.list_runs(dataset) == ["paper_baseline"]


def test_a_budget_beyond_the_vectors_is_refused_before_any_work(new_dataset, operator):
    dataset = new_dataset(30)
    dataset.add_sample_field("emb", fo.VectorField)
    vectors = np.random.default_rng(0).normal(size=(30, 4))
    dataset.set_values("emb", [vector if i < 10 else None for i, vector in enumerate(vectors)])
    for params in ({"budget": 15, "num_clusters": 3}, {"budget": 5, "num_clusters": 12}):
        text = refusal(operator, "run_elfs", dataset, source="field", embeddings_field="emb", beta=0, **params)
        assert "Of 30 images 20 have no vector in 'emb'" in text
    assert runs.list_runs(dataset) == []


def test_files_are_asked_for_by_their_media_type(operator, tmp_path):
    for name, words in (
        ("cloud.pcd", "Use a dataset of images"),
        ("a.npy", "does not take these files for images"),
        ("photo", "does not take these files for images"),
        ("a.mp4", "Make its frames a dataset"),
    ):
        dataset = fo.Dataset()
        try:
            dataset.add_sample(fo.Sample(filepath=str(tmp_path / name)))
            assert words in refusal(operator, "run_elfs", dataset)
        finally:
            dataset.delete()


def test_one_image(new_dataset, operator):
    assert "has 1 sample; at least 2 are needed" in refusal(operator, "run_elfs", new_dataset(1))


def test_a_dynamically_grouped_view(new_dataset, operator):
    dataset = new_dataset(6)
    dataset.set_values("scene", ["a", "b"] * 3)
    assert "groups by a field (group_by)" in refusal(operator, "run_elfs", dataset.group_by("scene"))
