"""Names that were free when a job began, and that somebody else has taken when its results are complete."""

import fiftyone as fo
import numpy as np
import pytest

from elfs_plugin import runs
from elfs_plugin.errors import NameTaken
from elfs_plugin.runs import carry, journal, own, record


@pytest.fixture
def meanwhile(monkeypatch):
    """Lets something happen when a job is about to write."""

    def register(act):
        publish, done = journal.publish, []

        def first(*args, **kwargs):
            if not done:
                done.append(act())
            return publish(*args, **kwargs)

        monkeypatch.setattr(journal, "publish", first)

    return register


def select(dataset, tag="kept", view_name="kept"):
    runs.select_coreset(dataset, budget=4, beta=0.25, tag=tag, view_name=view_name)


def take(dataset, field, kind, values):
    dataset.add_sample_field(field, kind)
    dataset.set_values(field, values)


def untouched(dataset):
    """Nothing of a job that was refused is there."""
    dataset.reload()
    run = runs.load_record(dataset, "elfs")
    return run is None or (run.pending is None and not run.tags and not run.saved_views)


def test_a_view_that_was_saved_meanwhile_stays(written, meanwhile):
    dataset, _ = written
    meanwhile(lambda: dataset.save_view("Kept", dataset.limit(1)))
    with pytest.raises(NameTaken, match="A saved view 'Kept' already exists"):
        select(dataset)
    assert untouched(dataset) and len(dataset.load_saved_view("Kept")) == 1
    runs.delete_run(dataset)
    assert dataset.list_saved_views() == ["Kept"]


def test_a_view_that_was_saved_after_the_commit_stays(written, monkeypatch):
    dataset, _ = written
    save = carry.STEPS["view"]

    def step(*args):
        theirs = own.own_dataset(dataset)
        theirs.save_view("Kept", theirs.limit(1))
        save(*args)

    monkeypatch.setitem(carry.STEPS, "view", step)
    select(dataset)
    dataset.reload()
    run = runs.load_record(dataset, "elfs")
    assert run.saved_views == [] and run.pending is None and len(dataset.match_tags("kept")) == 4
    runs.delete_run(dataset)
    assert dataset.list_saved_views() == ["Kept"] and dataset.count_sample_tags() == {}


def test_a_tag_that_was_given_meanwhile_stays(written, meanwhile):
    dataset, ids = written
    meanwhile(lambda: dataset.select(ids[:1]).tag_samples("kept"))
    with pytest.raises(NameTaken, match="already in use"):
        select(dataset)
    assert untouched(dataset)
    runs.delete_run(dataset)
    assert dataset.match_tags("kept").values("id") == ids[:1]


def test_two_runs_do_not_take_one_name(written, monkeypatch):
    """Also when the other has not written yet what it has committed."""
    dataset, _ = written
    other = record.RunRecord("other", tags=["theirs"])
    coming = record.RunRecord("other", tags=["theirs", "kept"], saved_views=["Kept view"])
    other.pending = {"token": "t", "steps": [], "record": record.stored(coming)}
    record.save_record(dataset, other)
    for tag in ("theirs", "kept"):
        with pytest.raises(NameTaken, match=f"The tag '{tag}' belongs to the run 'other'"):
            select(dataset, tag=tag, view_name=None)
    with pytest.raises(NameTaken, match="The run 'other' is saving a view 'Kept view'"):
        select(dataset, tag=None, view_name="kept-view")
    assert untouched(dataset)


def test_the_field_of_the_run_that_was_made_meanwhile_stays(dataset, meanwhile):
    take(dataset, "v", fo.VectorField, list(np.random.default_rng(0).normal(size=(80, 4))))
    meanwhile(lambda: take(dataset, "elfs", fo.StringField, ["mine"] * 80))
    with pytest.raises(NameTaken, match="a field 'elfs' that ELFS did not write"):
        runs.compute_pseudo_labels(dataset, embeddings_field="v", num_clusters=4)
    assert untouched(dataset) and set(dataset.values("elfs")) == {"mine"}


def test_the_vector_field_that_was_made_meanwhile_stays(dataset, meanwhile):
    meanwhile(lambda: take(dataset, "elfs_embeddings", fo.VectorField, list(np.ones((80, 3)))))
    with pytest.raises(NameTaken, match="a field 'elfs_embeddings' that this run did not write"):
        runs.compute_embeddings(dataset)
    assert untouched(dataset) and {len(vector) for vector in dataset.values("elfs_embeddings")} == {3}


def test_what_was_put_in_the_place_of_the_runs_field_stays(written):
    dataset, _ = written
    dataset.delete_sample_field("elfs")
    take(dataset, "elfs", fo.StringField, ["mine"] * 12)
    with pytest.raises(NameTaken, match="a field 'elfs' that ELFS did not write"):
        runs.compute_pseudo_labels(dataset, num_clusters=2)
    assert runs.delete_run(dataset)["fields"] == []
    assert set(dataset.values("elfs")) == {"mine"} and runs.list_runs(dataset) == []


def test_what_was_put_in_the_place_of_the_runs_vectors_stays(dataset):
    runs.compute_embeddings(dataset)
    dataset.delete_sample_field("elfs_embeddings")
    take(dataset, "elfs_embeddings", fo.VectorField, list(np.ones((80, 3))))
    with pytest.raises(NameTaken, match="a field 'elfs_embeddings' that this run did not write"):
        runs.compute_embeddings(dataset)
    assert runs.delete_run(dataset)["fields"] == []
    assert {len(vector) for vector in dataset.values("elfs_embeddings")} == {3}


@pytest.mark.parametrize("change", [lambda dataset: None, lambda dataset: runs.compute_embeddings(dataset)])
def test_fields_of_an_older_version_carry_no_mark_and_are_the_runs(dataset, change):
    runs.compute_embeddings(dataset, embeddings_field="theirs")
    field = dataset.get_field("theirs")
    field.info = None
    field.save()
    record.amend_record(dataset, "elfs", format=2)
    change(dataset)
    runs.delete_run(dataset)
    assert not dataset.has_sample_field("theirs") and not dataset.has_sample_field("elfs_embeddings")
