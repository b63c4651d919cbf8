"""A run whose pool is cut before the clustering."""

import fiftyone as fo
import numpy as np
import pytest

from elfs_plugin import runs
from elfs_plugin.errors import InvalidInput
from elfs_plugin.runs import cards, reading, samples, uncut
from elfs_plugin.runs.run import Run

pytestmark = pytest.mark.mongo


@pytest.fixture
def with_vectors(dataset, quick_clustering):
    rng = np.random.default_rng(0)
    dataset.add_sample_field("clip", fo.VectorField)
    dataset.set_values("clip", list(4 * np.eye(6)[np.arange(80) % 5] + 0.2 * rng.normal(size=(80, 6))))
    return dataset


def run(dataset, **changes):
    given = {"encoder": None, "embeddings_field": "clip", "num_clusters": 5, "budget": 0.25, "beta": 0.1}
    return runs.run_elfs(dataset, "elfs", tag="chosen", **{**given, **changes})


@pytest.mark.parametrize("method", ["elfs", "graph_coverage"])
def test_what_is_cut_away_gets_no_score_and_is_counted(with_vectors, method):
    summary = run(with_vectors, precut=50, method=method)
    assert summary["cut_away"] == 30 and summary["samples"] == 50 and summary["failed"] == 0
    assert summary["coreset"] == 20  # a quarter of all 80
    assert runs.load_record(with_vectors, "elfs").stages["pseudo_labels"]["cut_away"] == 30
    with_vectors.reload()
    ranks = dict(zip(*with_vectors.values(["id", "elfs.rank"])))
    out = [i for i, rank in ranks.items() if rank is None]
    assert len(out) == 30 and len(with_vectors.match_tags("chosen")) == 20
    assert not set(out) & set(with_vectors.match_tags("chosen").values("id"))
    changes = Run(with_vectors, "elfs").changes
    assert changes.added == 0 == changes.deleted
    assert cards._unscored(Run(with_vectors, "elfs"), cards._read(Run(with_vectors, "elfs"), out[:1])[out[0]])[
        "sentence"
    ].startswith("Not part of the run: it was outside its view, is one of 30 that a pre-cut left out")


def test_images_with_the_tag_or_a_label_are_not_left_out(with_vectors):
    run(with_vectors, precut=30)
    with_vectors.reload()
    out = [i for i, rank in zip(*with_vectors.values(["id", "elfs.rank"])) if rank is None]
    with_vectors.select(out[:4]).tag_samples("done")
    summary = run(with_vectors, precut=30, kept_tag="done")
    with_vectors.reload()
    ranks = dict(zip(*with_vectors.values(["id", "elfs.rank"])))
    assert all(ranks[i] is not None for i in out[:4])
    assert (summary["samples"], summary["cut_away"]) == (34, 46)
    # Labels of the rounds of this run count without being named.
    record = runs.load_record(with_vectors, "elfs")
    record.labelling = {"labels_field": "ground_truth"}
    with_vectors.add_sample_field("ground_truth", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    with_vectors.select(out[6:8]).set_values("ground_truth", [fo.Classification(label="a"), fo.Classification()])
    assert uncut.ids_to_keep(with_vectors, record, "done") == {*out[:4], out[6]}
    assert uncut.ids_to_keep(with_vectors, record, None) == {out[6]}
    with pytest.raises(InvalidInput, match="No image has the tag 'gone'"):
        run(with_vectors, precut=30, kept_tag="gone")


def test_images_that_an_update_takes_in_are_no_longer_counted(with_vectors):
    run(with_vectors, precut=50)
    with_vectors.reload()
    out = [i for i, rank in zip(*with_vectors.values(["id", "elfs.rank"])) if rank is None]
    late = with_vectors.add_sample(fo.Sample("late.png", clip=np.ones(6)))
    assert runs.update_run(with_vectors)["cut_away"] == 30  # what came later was not cut away
    with_vectors.delete_samples(late)
    summary = runs.update_run(with_vectors.select(out[:4]))
    assert summary["added"] == 4 and summary["cut_away"] == 26
    assert runs.load_record(with_vectors, "elfs").cut_away == 26


def test_without_a_cut_nothing_is_said_of_one(with_vectors):
    assert run(with_vectors)["cut_away"] == 0
    assert "cut_away" not in runs.load_record(with_vectors, "elfs").stages["pseudo_labels"]


def test_a_cut_below_the_budget_is_refused_before_anything_is_written(with_vectors):
    with pytest.raises(InvalidInput, match="fewer than the budget of 20"):
        run(with_vectors, precut=19)
    assert runs.load_record(with_vectors, "elfs") is None


def test_a_run_on_streamed_vectors_is_the_same(with_vectors, monkeypatch):
    run(with_vectors, method="graph_coverage")
    with_vectors.reload()
    before = with_vectors.values("elfs.rank"), with_vectors.match_tags("chosen").values("id")
    runs.delete_run(with_vectors, "elfs")
    monkeypatch.setattr(samples, "STREAMED", 10)
    monkeypatch.setattr(reading, "AT_ONCE", 7)
    run(with_vectors, method="graph_coverage")
    with_vectors.reload()
    assert (with_vectors.values("elfs.rank"), with_vectors.match_tags("chosen").values("id")) == before
