from dataclasses import replace

import fiftyone as fo
import numpy as np
import pytest

from elfs_plugin import runs, stages
from elfs_plugin.errors import Cancelled, InvalidInput
from elfs_plugin.runs import graph, jobs, record, vectors


def add(dataset, paths):
    return dataset.add_samples([fo.Sample(filepath=str(path)) for path in paths])


def zones(dataset):
    return dataset.count_values("elfs.zone")


@pytest.fixture
def run(dataset):
    """A run with a coreset of a quarter (20 of 80), β = 0.1."""
    runs.run_elfs(dataset, num_clusters=4, budget=20, beta=0.1, tag="kept", view_name="Kept")
    return dataset


def test_deleted_samples_close_the_gaps_without_training(written, monkeypatch):
    dataset, order = written
    runs.select_coreset(dataset, budget=0.5, beta=0.25, tag="kept")
    monkeypatch.setattr(stages, "train_proxy", lambda *args, **kwargs: pytest.fail("trained"))
    dataset.delete_samples([order[0], order[4], order[11], order[5]])
    before = runs.ranking_version(runs.load_record(dataset, "elfs"))
    summary = runs.update_run(dataset)
    assert (summary["samples"], summary["added"], summary["deleted"]) == (8, 0, 4)
    left = [i for i in order if i in set(dataset.values("id"))]
    assert runs.rank_view(runs.Run(dataset, "elfs"), 0, 99, order="hardest").values("id") == left
    assert dataset.select(left, ordered=True).values("elfs.rank") == list(range(8))
    assert dataset.select(left, ordered=True).values("elfs.zone") == ["hard"] * 2 + ["coreset"] * 4 + ["easy"] * 2
    assert runs.check_run(runs.Run(dataset, "elfs")).codes == ["names_out_of_date"]
    assert runs.ranking_version(runs.load_record(dataset, "elfs")) != before
    assert sum(runs.load_results(dataset, "elfs")["histogram"]["counts"]) == 8
    assert runs.read_ranking(runs.Run(dataset, "elfs"))[0].tolist() == left
    # What was saved stays what it was: of the six that were tagged (ranks 3 to 8) four are left.
    assert dataset.match_tags("kept").values("id") == [i for i in order[3:9] if i in left]


def test_new_samples_take_part(run, digits, bad_files):
    labels = dict(zip(*run.values(["id", "elfs.pseudo_label.label"])))
    copies = add(run, digits[:8])  # the same pictures again: their neighbours are their originals
    bad = add(run, list(bad_files)[:2])
    gone = run.values("id")[70:72]
    kept_before = set(run.match_tags("kept").values("id"))
    run.delete_samples(gone)
    summary = runs.update_run(run)
    assert (summary["samples"], summary["added"], summary["left_out"], summary["deleted"]) == (86, 8, 2, 2)
    originals = run.values("id")[:8]
    assert run.select(copies, ordered=True).values("elfs.pseudo_label.label") == [labels[i] for i in originals]
    confidence = run.select(copies).values("elfs.pseudo_label.confidence")
    assert all(0 < c <= 1 for c in confidence)
    assert all(
        labels[i] == now
        for i, now in zip(*run.exists("elfs.rank").values(["id", "elfs.pseudo_label.label"]))
        if i in labels
    )
    assert sorted(run.exists("elfs.rank").values("elfs.rank")) == list(range(86))
    assert zones(run) == {"hard": 8, "coreset": 21, "easy": 57, None: 2}  # a quarter of 86, a tenth of 86
    assert set(runs.load_results(run, "elfs")["failures"]) == set(bad)
    assert all(vector is not None for vector in run.select(copies).values("elfs_embeddings"))
    assert run.select(bad).values("elfs.rank") == [None, None]
    assert runs.check_run(runs.Run(run, "elfs")).codes == ["names_out_of_date"]
    assert set(run.match_tags("kept").values("id")) == kept_before - set(gone)
    # The twin of each copy is its nearest neighbour, and the other way round.
    kept = graph.load(record.run_folder(run, "elfs"), runs.load_record(run, "elfs").graph)
    for copy, original in zip(copies, originals):
        assert kept.neighbors_of(copy)[0][0] == original
        assert kept.neighbors_of(original)[0][0] == copy
    assert not (record.run_folder(run, "elfs") / "update").exists()


def test_another_engine_than_that_of_the_run_is_told_and_kept(run, digits, monkeypatch):
    made = runs.load_record(run, "elfs").stages["embeddings"]["inference"]
    asked = []

    def embed(self, paths, encoder, *, beside=None, **options):
        asked.append(beside)
        found = plain(self, paths, encoder, beside=beside, **options)
        return replace(found, provenance=replace(found.provenance, inference="float32 by Another 1"))

    plain = stages.Stages.embed
    monkeypatch.setattr(stages.Stages, "embed", embed)
    add(run, digits[:4])
    runs.update_run(run)
    stage = runs.load_record(run, "elfs").stages["embeddings"]
    assert asked == [made]
    assert (stage["inference"], stage["inference_of_added"]) == (made, "float32 by Another 1")


def test_the_same_update_gives_the_same_result(new_dataset, digits):
    results = []
    for _ in range(2):
        dataset = new_dataset(40)
        runs.run_elfs(dataset, num_clusters=3, budget=10, beta=0, seed=5)
        add(dataset, digits[40:50])
        runs.update_run(dataset)
        results.append(dataset.values(["elfs.rank", "elfs.pseudo_label.label", "elfs.aum"]))
    assert results[0] == results[1]


def test_nothing_to_do_changes_nothing(run, state_of):
    before = state_of(run), run.values(["elfs.rank", "elfs.zone", "tags"])
    version = runs.ranking_version(runs.load_record(run, "elfs"))
    summary = runs.update_run(run)
    assert (summary["added"], summary["deleted"], summary["left_out"]) == (0, 0, 0)
    assert (state_of(run), run.values(["elfs.rank", "elfs.zone", "tags"])) == before
    assert runs.ranking_version(runs.load_record(run, "elfs")) == version


def test_samples_outside_the_view_of_the_run_join_only_when_asked(dataset):
    runs.run_elfs(dataset[:40], num_clusters=3, budget=10, beta=0)
    assert runs.update_run(dataset)["added"] == 0
    assert runs.update_run(dataset[30:50])["added"] == 10
    assert len(dataset.exists("elfs.rank")) == 50


def test_the_users_vectors_are_read_and_not_touched(written, digits):
    dataset, order = written
    # The run's proxy is not stored: the default one is taken.
    new = add(dataset, digits[20:24])
    with pytest.raises(InvalidInput, match="None of the 4 new images has a usable vector in 'vectors'"):
        runs.update_run(dataset)
    vectors = {new[0]: np.array([1.0, 0.0]), new[1]: np.array([0.0, 1.0]), new[2]: np.array([1.0, 2.0, 3.0])}
    dataset.set_values("vectors", vectors, key_field="id")
    summary = runs.update_run(dataset)
    assert (summary["added"], summary["left_out"]) == (2, 2)
    assert dataset.select(new[:2], ordered=True).values("elfs.pseudo_label.label") == ["cluster 2", "cluster 10"]
    failures = runs.load_results(dataset, "elfs")["failures"]
    assert "length 3" in failures[new[2]] and failures[new[3]] == "no vector"
    assert dataset[new[2]]["vectors"].tolist() == [1.0, 2.0, 3.0]


def test_only_new_files_that_cannot_be_read(run, bad_files):
    bad = add(run, bad_files)
    ranks = run.values("elfs.rank")
    summary = runs.update_run(run)
    assert (summary["added"], summary["left_out"], summary["samples"]) == (0, len(bad), 80)
    assert run.values("elfs.rank") == ranks
    assert set(runs.load_results(run, "elfs")["failures"]) == set(bad)
    assert runs.check_run(runs.Run(run, "elfs")).findings == []


def test_vectors_in_a_file_of_the_run(dataset, digits, monkeypatch):
    monkeypatch.setattr(vectors, "LARGE", 50)
    runs.run_elfs(dataset, num_clusters=3, budget=10, beta=0)
    new = add(dataset, digits[80:85])
    assert runs.update_run(dataset)["added"] == 5
    folder = record.run_folder(dataset, "elfs")
    stored, ids = vectors.load(folder, runs.load_record(dataset, "elfs").vectors)
    assert stored.shape == (85, 192)
    assert ids.tolist() == dataset.values("id")
    assert len(list(folder.glob("*.npy"))) == 2  # the older pair is gone
    assert not dataset.has_sample_field("elfs_embeddings")
    assert dataset.select(new).values("elfs.rank") != [None] * 5


def test_cancelled_it_resumes(run, digits, monkeypatch):
    add(run, digits[80:90])
    embed = stages.embed_images

    def cancel_then_embed(*args, **kwargs):
        assert jobs.request_cancel(run, "elfs")
        return embed(*args, **kwargs)

    monkeypatch.setattr(stages, "embed_images", cancel_then_embed)
    with pytest.raises(Cancelled):
        runs.update_run(run)
    assert jobs.read_job(run, "elfs")["state"] == "cancelled"
    monkeypatch.undo()
    summary = runs.update_run(run)
    assert (summary["added"], summary["resumed"]) == (10, ["embeddings"])
    assert sorted(run.values("elfs.rank")) == list(range(90))


def test_an_encoder_with_other_weights_is_refused(run, digits):
    kept = runs.load_record(run, "elfs")
    kept.stages["embeddings"]["checksum"] = "of other weights"
    record.save_record(run, kept)
    add(run, digits[80:90])
    with pytest.raises(InvalidInput, match="encoder pixels now has other weights .* Run ELFS again"):
        runs.update_run(run)


def test_refusals(dataset):
    with pytest.raises(InvalidInput, match="There is no ELFS run"):
        runs.update_run(dataset)
    runs.compute_embeddings(dataset)
    with pytest.raises(InvalidInput, match="not ready for an update. Use compute_scores"):
        runs.update_run(dataset)
