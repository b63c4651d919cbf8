import fiftyone as fo
import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin.runs import jobs


def test_the_plot_of_a_run(new_dataset, operator, execute):
    dataset = new_dataset(40)
    operator("compute_embeddings")(dataset)
    operator("compute_pseudo_labels")(dataset, num_clusters=3)
    summary = execute("visualize", dataset, method="pca").result
    assert (summary["brain_key"], summary["samples"]) == ("elfs_pca", 40)
    assert dataset.list_brain_runs() == ["elfs_pca"]
    assert jobs.read_job(dataset, "elfs")["kind"] == "visualization"
    execute("delete_run", dataset)
    assert dataset.list_brain_runs() == []


def test_the_form_refuses_a_name_in_use_and_too_many_images(scored, execute, errors_of, plugin, monkeypatch):
    scored.add_sample_field("elfs_pca", fo.StringField)
    assert "a field 'elfs_pca' that ELFS did not write" in errors_of("visualize", scored, method="pca")["method"]
    with pytest.raises(ExecutionError, match="Path: method"):
        execute("visualize", scored, method="pca")
    monkeypatch.setattr(plugin("elfs_plugin.encoders.projection"), "UMAP_LIMIT", 50)
    assert "Use PCA" in errors_of("visualize", scored, method="umap")["method"]
