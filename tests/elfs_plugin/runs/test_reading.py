import errno
from types import SimpleNamespace

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F

from elfs_plugin.encoders import rows
from elfs_plugin.errors import InvalidInput
from elfs_plugin.runs import reading, samples, vectors

pytestmark = pytest.mark.mongo


@pytest.fixture()
def dataset(monkeypatch):
    """25 samples with vectors of three numbers, but the fourth (none), the sixth (two numbers) and the eighth (NaN)."""
    monkeypatch.setattr(reading, "AT_ONCE", 4)
    monkeypatch.setattr(reading, "ASKED", 4)
    dataset = fo.Dataset()
    dataset.add_sample_field("vector", fo.VectorField)
    values = [np.array([at, 1, 2], dtype=np.float32) for at in range(25)]
    values[3], values[5], values[7] = None, np.zeros(2), np.array([np.nan, 0, 0])
    dataset.add_samples([fo.Sample(f"/{at}.jpg", vector=value, number=at) for at, value in enumerate(values)])
    yield dataset
    dataset.delete()


def assert_same(one, other):
    assert one[0] == other[0]
    assert (one[1].vectors == other[1].vectors).all() and one[1].vectors.dtype == np.float32
    assert (one[1].ok == other[1].ok).all() and one[1].failures == other[1].failures


@pytest.mark.parametrize(
    "view",
    [
        lambda dataset: dataset,
        lambda dataset: dataset.match(F("number") > 4).sort_by("number", reverse=True),
        lambda dataset: dataset.limit(9).concat(dataset.limit(5)),  # some samples twice
    ],
    ids=["dataset", "view", "twice"],
)
def test_vectors_of_many_samples_are_those_that_are_read_at_once(dataset, view, monkeypatch):
    at_once = samples.read_vectors(view(dataset), "vector")
    monkeypatch.setattr(samples, "STREAMED", 3)
    streamed = samples.read_vectors(view(dataset), "vector")
    assert_same(streamed, at_once)


def test_the_length_is_that_of_most_vectors_and_not_of_the_first(dataset, monkeypatch):
    first = dataset.limit(6)
    first.set_values("vector", [np.ones(5, dtype=np.float32)] * 6)
    at_once = samples.read_vectors(dataset, "vector")
    monkeypatch.setattr(samples, "STREAMED", 3)
    streamed = samples.read_vectors(dataset, "vector")
    assert_same(streamed, at_once)
    assert streamed[1].vectors.shape == (18, 3)


@pytest.mark.parametrize("fits", [0, 2, 9])
def test_without_room_for_a_file_vectors_are_held_in_memory(dataset, monkeypatch, caplog, fits):
    at_once = samples.read_vectors(dataset, "vector")
    monkeypatch.setattr(samples, "STREAMED", 3)
    monkeypatch.setattr(rows, "_AT_ONCE", 3)
    write, written = rows._write_all, []

    def limited(file, array):
        written.append(len(array))
        if len(written) > fits:
            file.write(b"a part of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(file, array)

    monkeypatch.setattr(rows, "_write_all", limited)
    assert_same(samples.read_vectors(dataset, "vector"), at_once)
    told = [one.getMessage() for one in caplog.records if one.name == rows.__name__]
    assert len(told) == (fits < 8) and all("held in memory" in text for text in told)


def test_other_kinds_of_fields_are_streamed_too(dataset, monkeypatch):
    dataset.add_sample_field("numbers", fo.ListField, subfield=fo.FloatField)
    dataset.set_values("numbers", [[float(at), 0.5] for at in range(25)])
    at_once = samples.read_vectors(dataset, "numbers")
    monkeypatch.setattr(samples, "STREAMED", 3)
    assert_same(samples.read_vectors(dataset, "numbers"), at_once)


def test_many_samples_without_a_usable_vector_are_refused(dataset, monkeypatch):
    monkeypatch.setattr(samples, "STREAMED", 2)
    dataset.clear_sample_field("vector")
    with pytest.raises(InvalidInput, match="holds no usable vectors"):
        samples.read_vectors(dataset, "vector")


def test_no_query_lists_more_ids_than_allowed(dataset, monkeypatch):
    ids, asked = dataset.values("id"), []
    select = fo.Dataset.select
    monkeypatch.setattr(fo.Dataset, "select", lambda self, some, **given: asked.append(some) or select(self, some))
    found = reading.by_id(dataset, [*ids[::-1], "0" * 24], "number")
    assert found == {i: at for at, i in enumerate(ids)}
    assert max(map(len, asked)) == 4 and len(asked) == 7
    assert reading.by_id(dataset, [], "number") == {}


def test_numbers_come_by_id_with_nan_for_none(dataset):
    dataset.set_values("number", [None, *range(1, 25)])
    ids, columns = reading.numbers(dataset.sort_by("number", reverse=True), ["number"])
    assert ids.astype(str).tolist() == sorted(dataset.values("id"))
    assert np.isnan(columns["number"][0]) and columns["number"][1:].tolist() == list(range(1, 25))


def test_places_of_ids():
    known = np.array(["a", "c", "e"], dtype="S24")
    wanted = np.array(["e", "b", "a", "z"], dtype="S24")
    assert reading.places(known, wanted).tolist() == [2, -1, 0, -1]
    assert reading.places(known[:0], wanted).tolist() == [-1] * 4


def test_all_vectors_of_a_file_are_not_copied(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(4, 3)
    ids = [f"{at:024}" for at in range(4)]

    run = SimpleNamespace(
        folder=tmp_path,
        dataset=None,
        record=SimpleNamespace(vectors=vectors.save(tmp_path, ids, values), similarity_index=None),
    )
    found, known = vectors.read(run, ids)
    assert not found.flags.owndata and (found == values).all() and known.all()
    found, known = vectors.read(run, [ids[2], "f" * 24, ids[0]])
    assert (found == values[[2, 0]]).all() and known.tolist() == [True, False, True]
