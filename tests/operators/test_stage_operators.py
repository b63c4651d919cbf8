import fiftyone as fo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs


def test_embeddings(dataset, execute):
    summary = execute("compute_embeddings", dataset, key="mine", embeddings_field="thumbs").result
    assert (summary["stage"], summary["samples"], summary["embeddings_field"]) == ("embeddings", 80, "thumbs")
    assert {len(vector) for vector in dataset.values("thumbs")} == {192}
    assert runs.load_record(dataset, "mine").owns_embeddings
    assert not dataset.has_sample_field("mine")


def test_pseudo_labels_of_an_existing_field(dataset, execute):
    groups = np.arange(80) % 4
    dataset.add_sample_field("clip", fo.VectorField)
    dataset.set_values("clip", list(4 * np.eye(4)[groups] + 0.01))
    summary = execute("compute_pseudo_labels", dataset, num_clusters=4, embeddings_field="clip").result
    assert (summary["clusters"], summary["samples"]) == (4, 80)
    labels = dataset.values("elfs.pseudo_label.label")
    # Equal vectors have one label. How many of the four are told apart in so few steps is chance.
    assert len(set(zip(labels, groups))) == 4 and len(set(labels)) > 1
    assert not dataset.has_sample_field("elfs.rank")
    assert not runs.load_record(dataset, "elfs").owns_embeddings


def test_the_number_of_neighbours(dataset, execute):
    execute("compute_embeddings", dataset)
    execute("compute_pseudo_labels", dataset, num_clusters=4, neighbors=7)
    assert runs.load_record(dataset, "elfs").stages["pseudo_labels"]["neighbors"] == 7


def test_scores(scored, execute):
    before = scored.values("elfs.rank")
    summary = execute("compute_scores", scored, score="el2n", epochs=3, proxy="mlp").result
    assert (summary["stage"], summary["samples"]) == ("scores", 80)
    stage = runs.load_record(scored, "elfs").stages["scores"]
    assert (stage["score"], stage["epochs"], stage["proxy"]["kind"]) == ("el2n", 3, "mlp")
    el2n, rank = scored.values(["elfs.el2n", "elfs.rank"])
    assert [e for _, e in sorted(zip(rank, el2n))] == sorted(el2n, reverse=True)
    assert rank != before


def test_beta(scored, execute):
    summary = execute("search_beta", scored, budget=50, budget_unit="percent", repeats=2).result
    curve = runs.load_results(scored, "elfs")["beta"]
    assert curve["betas"] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert [len(row) for row in curve["accuracies"]] == [2] * 6
    assert summary["beta"] == curve["chosen"] in curve["betas"]
    assert summary["budget"] == curve["budget"] == 40
    assert "2 held-out splits of pseudo-labels" in summary["reason"]
    assert curve["proxy"] == "mlp"
    assert not scored.has_sample_field("elfs.zone")


def test_beta_for_a_network_on_the_images(scored, execute, plugin, monkeypatch):
    monkeypatch.setattr(plugin("elfs_plugin.beta_search.search"), "IMAGE_STEPS", 2)
    execute("search_beta", scored, budget=40, repeats=1, proxy="resnet8", image_size=8)
    stage = runs.load_record(scored, "elfs").stages["beta"]
    assert (stage["proxy"]["kind"], stage["proxy"]["members"], stage["proxy"]["steps"]) == ("resnet8", 1, 2)
    assert runs.load_results(scored, "elfs")["beta"]["proxy"] == "resnet8"


def test_a_grid_for_beta(scored, operator):
    operator("search_beta")(scored, budget=40, grid=[0.0, 0.25], repeats=1)
    assert runs.load_results(scored, "elfs")["beta"]["betas"] == [0.0, 0.25]
    with pytest.raises(ExecutionError, match="every β of the grid must be between 0 and 0.5"):
        operator("search_beta")(scored, budget=40, grid=[0.9])


@pytest.mark.parametrize("name", ["compute_scores", "search_beta", "select_coreset", "export_coreset"])
def test_a_stage_is_refused_until_the_one_before_is_done(dataset, execute, name):
    execute("compute_embeddings", dataset)
    with pytest.raises(ExecutionError, match="Path: key. Reason: The run 'elfs' is not ready for .*Use"):
        execute(name, dataset, **({"path": "/never/written.csv"} if name == "export_coreset" else {}))


def test_pseudo_labels_need_vectors(dataset, execute):
    with pytest.raises(ExecutionError, match="no vector field. Use ELFS: Compute embeddings first"):
        execute("compute_pseudo_labels", dataset)


def test_the_seed_is_recorded_and_counts(dataset, execute):
    found = []
    for seed in (1, 2, 1):
        execute("compute_embeddings", dataset, seed=seed)
        execute("compute_pseudo_labels", dataset, num_clusters=5, seed=seed)
        execute("compute_scores", dataset, seed=seed)
        found.append(dataset.values("elfs.aum"))
        stages = runs.load_record(dataset, "elfs").stages
        assert [stage["seed"] for stage in stages.values()] == [seed] * 3
    assert found[0] == found[2] != found[1]
