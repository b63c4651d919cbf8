import numpy as np
import pytest

from elfs_plugin import runs
from elfs_plugin.errors import InvalidInput
from elfs_plugin.runs import ranking, record


def file_of(dataset):
    return record.run_folder(dataset, "elfs") / "ranking.npz"


def test_the_ranking_hardest_first(written):
    dataset, order = written
    ids, scores, labels, names = runs.read_ranking(runs.Run(dataset, "elfs"))
    assert ids.tolist() == order
    assert scores.tolist() == [i - 6.0 for i in range(12)]
    assert names == ["cluster 2", "cluster 10"]
    assert labels.tolist() == [0, 1] * 6


def test_the_file_and_the_dataset_say_the_same(finished):
    dataset, _ = finished
    kept = runs.read_ranking(runs.Run(dataset, "elfs"))
    content = file_of(dataset).read_bytes()
    file_of(dataset).unlink()
    read = runs.read_ranking(runs.Run(dataset, "elfs"))
    for one, other in zip(kept, read):
        assert np.array_equal(one, other)
    assert kept[0].tolist() == dataset.sort_by("elfs.rank").values("id")
    assert file_of(dataset).is_file() and len(content) == file_of(dataset).stat().st_size


def test_the_file_counts_only_while_it_is_true(written, monkeypatch):
    dataset, order = written
    runs.read_ranking(runs.Run(dataset, "elfs"))
    reads = []
    read = ranking._read
    monkeypatch.setattr(ranking, "_read", lambda *args: reads.append(1) or read(*args))
    runs.read_ranking(runs.Run(dataset, "elfs"))
    assert not reads
    dataset.set_values("elfs.pseudo_label.label", {order[0]: "cat"}, key_field="id")  # a new name
    assert runs.read_ranking(runs.Run(dataset, "elfs"))[3] == ["cat", "cluster 2", "cluster 10"]
    dataset.delete_samples(order[3:5])
    assert runs.read_ranking(runs.Run(dataset, "elfs"))[0].tolist() == order[:3] + order[5:]
    assert len(reads) == 2


def test_a_damaged_file_is_passed_over(written):
    dataset, order = written
    runs.read_ranking(runs.Run(dataset, "elfs"))
    file_of(dataset).write_bytes(b"PK damaged")
    assert runs.read_ranking(runs.Run(dataset, "elfs"))[0].tolist() == order


def test_the_version_changes_with_the_scores_and_labels(dataset):
    seen = []

    def note():
        seen.append(runs.ranking_version(runs.load_record(dataset, "elfs")))

    runs.compute_embeddings(dataset)
    runs.compute_pseudo_labels(dataset, num_clusters=3)
    note()
    runs.compute_scores(dataset)
    note()
    runs.select_coreset(dataset, budget=10, beta=0)
    assert runs.ranking_version(runs.load_record(dataset, "elfs")) == seen[-1]
    runs.compute_scores(dataset, score="el2n")
    note()
    assert len(set(seen)) == 3


def test_records_without_a_version_are_told_apart_by_their_stages():
    one, other = (record.RunRecord("elfs", stages={"scores": {"scored": n}}) for n in (5, 6))
    assert runs.ranking_version(one) == runs.ranking_version(record.RunRecord("elfs", stages={"scores": {"scored": 5}}))
    assert runs.ranking_version(one) != runs.ranking_version(other)


def test_ties_are_broken_by_id_in_the_file_as_on_the_samples(written):
    dataset, order = written
    run = runs.Run(dataset, "elfs")
    ranking.keep_ranking(run, order[::-1], [1.0, 1.0, 0.0] + [2.0] * 9, np.zeros(12, int), ["one"])
    assert ranking._load(file_of(dataset), runs.ranking_version(run.record))[0].tolist() == [
        order[9],
        order[10],
        order[11],
        *order[:9],
    ]


def test_without_scores_there_is_no_ranking(dataset):
    with pytest.raises(InvalidInput, match="no ELFS run"):
        runs.read_ranking(runs.Run(dataset, "elfs"))


def test_deleted_samples_keep_their_ranks_until_the_run_is_updated(written):
    dataset, order = written
    runs.read_ranking(runs.Run(dataset, "elfs"))
    dataset.delete_samples([order[3], order[4]])
    assert runs.read_ranking(runs.Run(dataset, "elfs"), deleted=True)[0].tolist() == order
    assert runs.read_ranking(runs.Run(dataset, "elfs"))[0].tolist() == order[:3] + order[5:]
    file_of(dataset).unlink()
    assert runs.read_ranking(runs.Run(dataset, "elfs"), deleted=True)[0].tolist() == order[:3] + order[5:]
