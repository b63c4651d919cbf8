import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest

from elfs_plugin import runs
from elfs_plugin.encoders import projection
from elfs_plugin.encoders.projection import pca
from elfs_plugin.errors import InvalidInput, NameTaken
from elfs_plugin.runs import record


def points_of(dataset, brain_key="elfs_pca"):
    results = dataset.load_brain_results(brain_key)
    return dict(zip(results.sample_ids.tolist(), results.points.tolist()))


def test_pca_becomes_a_brain_run(written):
    dataset, order = written
    summary = runs.visualize(dataset, method="pca")
    assert (summary["brain_key"], summary["samples"], summary["left_out"]) == ("elfs_pca", 12, 0)
    expected = pca(np.stack(dataset.values("vectors")))
    points = points_of(dataset)
    assert np.array([points[i] for i in order]) == pytest.approx(expected, abs=1e-5)
    assert runs.load_record(dataset, "elfs").brain_keys == ["elfs_pca"]
    assert dataset[order[3]]["elfs_pca"] == pytest.approx(points[order[3]])
    assert any("elfs_pca" in name for name in dataset.list_indexes())


def test_umap_keeps_groups_apart_and_is_seeded(new_written, monkeypatch):
    monkeypatch.setattr(projection, "UMAP_FIT", 60)
    dataset, order = new_written(90)
    group = np.arange(90) % 3
    noise = np.random.default_rng(0).normal(size=(90, 5))
    dataset.set_values("vectors", dict(zip(order, 8 * np.eye(5)[group] + noise)), key_field="id")
    fractions = []
    summary = runs.visualize(dataset, method="umap", seed=3, sinks=[lambda event: fractions.append(event.overall)])
    assert (summary["brain_key"], summary["samples"]) == ("elfs_umap", 90)
    found = points_of(dataset, "elfs_umap")
    points = np.array([found[i] for i in order])
    assert points.shape == (90, 2) and np.isfinite(points).all()
    centres = np.stack([points[group == g].mean(axis=0) for g in range(3)])
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == group).mean() > 0.95
    runs.visualize(dataset, method="umap", seed=3)
    assert points_of(dataset, "elfs_umap") == found
    assert fractions == sorted(fractions) and fractions[-1] == 1.0


def test_delete_run_removes_it(written):
    dataset, _ = written
    runs.visualize(dataset, method="pca")
    runs.visualize(dataset, method="pca")  # again: its own may be replaced
    assert runs.load_record(dataset, "elfs").brain_keys == ["elfs_pca"]
    runs.delete_run(dataset)
    assert dataset.list_brain_runs() == []
    assert not dataset.has_sample_field("elfs_pca")
    assert sorted(dataset.list_indexes()) == ["created_at", "filepath", "id", "last_modified_at"]


def test_what_is_not_the_runs_own_is_never_overwritten(written):
    dataset, _ = written
    theirs = np.arange(24.0).reshape(12, 2)
    fob.compute_visualization(dataset, points=theirs, brain_key="elfs_pca")
    with pytest.raises(NameTaken, match="a run 'elfs_pca' that ELFS did not write"):
        runs.visualize(dataset, method="pca")
    assert dataset.load_brain_results("elfs_pca").points.tolist() == theirs.tolist()
    dataset.delete_brain_run("elfs_pca")
    dataset.add_sample_field("elfs_pca", fo.StringField)
    with pytest.raises(NameTaken, match="a field 'elfs_pca'"):
        runs.visualize(dataset, method="pca")
    assert dataset.list_brain_runs() == []


def test_images_without_a_vector_are_left_out_and_counted(written):
    dataset, order = written
    dataset.set_values("vectors", {order[0]: None, order[5]: np.array([np.nan, 1.0])}, key_field="id")
    summary = runs.visualize(dataset, method="pca")
    assert (summary["samples"], summary["left_out"]) == (10, 2)
    assert set(points_of(dataset)) == set(order) - {order[0], order[5]}
    assert dataset[order[0]]["elfs_pca"] is None


def test_refusals(written, dataset):
    with pytest.raises(InvalidInput, match="Unknown method 'tsne'"):
        runs.visualize(written[0], method="tsne")
    with pytest.raises(InvalidInput, match="There is no ELFS run"):
        runs.visualize(dataset)
    written[0].delete_samples(written[1][2:])
    with pytest.raises(InvalidInput, match="3 images at least"):
        runs.visualize(written[0], method="pca")
    assert runs.load_record(written[0], "elfs").brain_keys == []


def test_other_embeddings_remove_the_plot(dataset):
    runs.compute_embeddings(dataset)
    runs.compute_pseudo_labels(dataset, num_clusters=3)
    runs.visualize(dataset, method="pca")
    runs.compute_embeddings(dataset)  # the same, resumed
    assert dataset.list_brain_runs() == ["elfs_pca"]
    runs.compute_embeddings(dataset[:60])
    assert dataset.list_brain_runs() == [] and runs.load_record(dataset, "elfs").brain_keys == []


def test_vectors_in_a_file_of_the_run(dataset, monkeypatch):
    from elfs_plugin.runs import vectors

    monkeypatch.setattr(vectors, "LARGE", 50)
    runs.compute_embeddings(dataset)
    runs.compute_pseudo_labels(dataset, num_clusters=3)
    assert vectors.has_file(record.run_folder(dataset, "elfs"), runs.load_record(dataset, "elfs").vectors)
    dataset.delete_samples(dataset.values("id")[:5])
    assert runs.visualize(dataset, method="pca")["samples"] == 75
