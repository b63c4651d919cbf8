import fiftyone as fo
import fiftyone.zoo as foz
import numpy as np
import pytest
from fiftyone.core.models import EmbeddingsMixin, Model

from elfs_plugin import runs
from elfs_plugin.errors import Cancelled, InvalidInput, MissingModel
from elfs_plugin.runs import samples


@pytest.fixture
def empty():
    dataset = fo.Dataset()
    yield dataset
    dataset.delete()


@pytest.mark.parametrize(
    ("path", "words"), [("a.mp4", "this view holds video"), ("a.pcd", "this view holds point-cloud")]
)
def test_other_media_are_refused(empty, path, words):
    empty.add_sample(fo.Sample(filepath=path))
    with pytest.raises(InvalidInput, match=words):
        samples.check_collection(empty)


def test_groups_are_refused_and_a_slice_is_not(empty, digits):
    empty.add_group_field("group", default="left")
    group = fo.Group()
    empty.add_samples(
        [fo.Sample(filepath=str(digits[i]), group=group.element(s)) for i, s in enumerate(("left", "right"))]
    )
    with pytest.raises(InvalidInput, match="this view holds groups.*Or choose one slice") as caught:
        samples.check_collection(empty)
    assert "left, right" in str(caught.value)
    samples.check_collection(empty.select_group_slices("right"))


def test_views_into_labels_are_refused(dataset):
    first = dataset.first()
    first["boxes"] = fo.Detections(detections=[fo.Detection(label="a", bounding_box=[0, 0, 0.5, 0.5])])
    first.save()
    patches = dataset.to_patches("boxes")
    assert len(patches) == 1
    with pytest.raises(InvalidInput, match="this view holds the objects of 'boxes'"):
        samples.check_collection(patches)


def test_nothing_to_work_on_is_refused(dataset, empty):
    with pytest.raises(InvalidInput, match="No dataset is open"):
        samples.check_collection(None)
    for nothing in (empty, dataset.limit(0), dataset.match_tags("absent")):
        with pytest.raises(InvalidInput, match="The view has no samples"):
            samples.check_collection(nothing)
    samples.check_collection(dataset.limit(2), minimum=2)
    with pytest.raises(InvalidInput, match="The view has 2 samples; at least 3 are needed"):
        samples.check_collection(dataset.limit(2), minimum=3)


def test_a_sample_that_occurs_twice_is_read_once_and_order_does_not_matter(dataset):
    first, second = dataset[5:10], dataset[:8]
    view = first.concat(second)
    assert len(view) == 13
    found = samples.read_samples(view)
    ids = dataset.values("id")
    assert found.ids == sorted(ids[:10])
    assert found.paths == [dataset[i].filepath for i in found.ids]
    assert len(found) == 10


def test_vector_fields_are_found_by_kind(dataset):
    dataset.add_sample_field("vector", fo.VectorField)
    dataset.add_sample_field("floats", fo.ListField, subfield=fo.FloatField)
    dataset.add_sample_field("words", fo.ListField, subfield=fo.StringField)
    dataset.add_sample_field("number", fo.FloatField)
    assert sorted(samples.vector_fields(dataset)) == ["floats", "vector"]


def test_vectors_are_read_in_order_and_bad_ones_get_a_reason(dataset):
    rng = np.random.default_rng(0)
    vectors = list(rng.normal(size=(80, 4)))
    vectors[3] = None
    vectors[10] = np.array([0, np.nan, 0, 0])
    vectors[20] = np.array([0, np.inf, 0, 0])
    vectors[30] = np.zeros(7)
    dataset.add_sample_field("vector", fo.VectorField)
    dataset.set_values("vector", vectors)
    found, result = samples.read_vectors(dataset.concat(dataset[:4]), "vector")
    assert found.ids == dataset.values("id")
    assert sorted(result.failures) == [3, 10, 20, 30] == np.flatnonzero(~result.ok).tolist()
    assert all(result.failures.values())
    np.testing.assert_allclose(result.vectors, np.array([v for i, v in enumerate(vectors) if result.ok[i]]), rtol=1e-6)


def test_lists_of_floats_are_vectors_too(dataset):
    dataset.set_values("floats", [[float(i), 1.0] for i in range(80)])
    _, result = samples.read_vectors(dataset, "floats")
    np.testing.assert_array_equal(result.vectors[:, 0], np.arange(80))


def test_a_field_without_vectors_is_refused(dataset):
    dataset.add_sample_field("number", fo.FloatField)
    dataset.add_sample_field("vector", fo.VectorField)
    with pytest.raises(InvalidInput, match="no field 'absent'. Vector fields: vector") as caught:
        samples.read_vectors(dataset, "absent")
    assert caught.value.field == "embeddings_field"
    with pytest.raises(InvalidInput, match="'number' does not hold vectors"):
        samples.read_vectors(dataset, "number")
    with pytest.raises(InvalidInput):
        samples.read_vectors(dataset, "vector")


class _Brightness(Model, EmbeddingsMixin):
    """A model of FiftyOne's own kind: mean and spread of an image."""

    media_type = "image"
    has_embeddings = True
    ragged_batches = True
    transforms = None
    preprocess = False

    def embed(self, image):
        return np.array([image.mean(), image.std()], dtype=np.float32)

    def embed_all(self, images):
        return np.stack([self.embed(image) for image in images])

    def predict(self, image):
        raise AssertionError("only embeddings are asked for")


@pytest.fixture
def zoo(monkeypatch):
    models = {"brightness": _Brightness(), "labels-only": object()}
    monkeypatch.setattr(foz, "list_zoo_models", lambda *args, **kwargs: [*models, "offline"])
    monkeypatch.setattr(foz, "load_zoo_model", lambda name: models[name])
    return models


def test_a_bad_file_does_not_cost_its_batch_with_a_zoo_model(zoo, new_dataset, bad_files):
    dataset = new_dataset(20, extra=bad_files)
    found = samples.read_samples(dataset)
    reports = []
    result = samples.zoo_embeddings(dataset, found, "zoo:brightness", lambda f, detail="": reports.append(f))
    bad = {i for i, path in enumerate(found.paths) if path in bad_files and "truncated" not in path}
    assert set(result.failures) >= bad
    assert result.ok[:20].all()
    assert result.vectors.shape == (result.ok.sum(), 2)
    assert reports == sorted(reports) and reports[-1] == 1.0


def test_cancelling_while_a_zoo_model_loads_is_no_missing_model(zoo, dataset):
    def cancel(fraction, detail=""):
        raise Cancelled

    with pytest.raises(Cancelled):
        samples.zoo_embeddings(dataset, samples.read_samples(dataset), "zoo:brightness", cancel)


def test_a_zoo_model_for_which_memory_does_not_suffice_is_no_missing_model(zoo, dataset, monkeypatch):
    def fail(name):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(foz, "load_zoo_model", fail)
    with pytest.raises(RuntimeError, match="can't allocate"):
        samples.zoo_embeddings(dataset, samples.read_samples(dataset), "zoo:brightness", lambda f, detail="": None)


def test_a_run_with_a_zoo_model(zoo, dataset):
    summary = runs.compute_embeddings(dataset, encoder="zoo:brightness")
    assert summary["samples"] == 80
    from PIL import Image

    first = np.asarray(Image.open(dataset.first().filepath).convert("RGB"))
    np.testing.assert_allclose(dataset.first()["elfs_embeddings"], [first.mean(), first.std()], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [("absent", "no model named 'absent'"), ("offline", "could not be loaded"), ("labels-only", "no embeddings")],
)
def test_zoo_models_that_cannot_be_used_are_refused(zoo, dataset, name, words):
    with pytest.raises(MissingModel, match=words):
        runs.compute_embeddings(dataset, encoder=f"zoo:{name}")
    assert not dataset.has_sample_field("elfs_embeddings")


def test_vectors_as_lists_of_whole_numbers_arrays_and_tuples(dataset):
    vectors = np.arange(240).reshape(80, 3)
    dataset.add_sample_field("tags_of", fo.ListField, subfield=fo.StringField)
    dataset.add_sample_field("whole", fo.ListField, subfield=fo.IntField)
    dataset.add_sample_field("array", fo.ArrayField)
    dataset.add_sample_field("any", fo.ListField)
    dataset.add_sample_field("vector", fo.VectorField)
    dataset.set_values("whole", vectors.tolist())
    dataset.set_values("array", list(vectors.astype(np.float16)))
    dataset.set_values("any", [tuple(row) for row in vectors.tolist()])
    assert samples.vector_fields(dataset) == ["vector", "array", "whole"]
    for field in ("whole", "array", "any"):
        _, found = samples.read_vectors(dataset, field)
        assert found.vectors.tolist() == vectors.tolist() and found.ok.all()
    with pytest.raises(InvalidInput, match="'tags_of' does not hold vectors. .*belong into a VectorField"):
        samples.read_vectors(dataset, "tags_of")


def test_groups_made_by_a_field_are_refused(dataset):
    dataset.set_values("scene", ["a", "b"] * 40)
    with pytest.raises(InvalidInput, match="into groups by a field .* view.flatten"):
        samples.check_collection(dataset.group_by("scene"))
    samples.check_collection(dataset.group_by("scene").flatten())


def test_a_tag_that_no_image_has(dataset):
    dataset.limit(1).tag_samples("done")
    samples.check_locked_tag(dataset, "done")
    with pytest.raises(InvalidInput, match=r"No image has the tag 'gone' \(tags: done\)"):
        samples.check_locked_tag(dataset, "gone")


def test_vectors_are_read_as_fiftyone_reads_them(empty):
    vectors = [
        np.arange(3.0),
        np.arange(3, dtype=np.float16),
        None,
        np.arange(4, dtype=np.int32),
        np.array([]),
        np.array([True, False]),
        np.arange(3, dtype=np.float32)[::-1],
        np.arange(2) * 1j,
        np.arange(3, dtype=">f4"),
    ]
    empty.add_samples([fo.Sample(filepath=f"{i}.png") for i in range(len(vectors))])
    empty.add_sample_field("v", fo.VectorField)
    empty.set_values("v", vectors)
    for view in (empty, empty.sort_by("filepath", reverse=True), empty.exists("v")):
        *known, found = samples._ids_paths_vectors(view, "v")
        *expected, wanted = view.values(["id", "filepath", "v"])
        assert known == expected
        for mine, theirs in zip(found, wanted, strict=True):
            assert (mine is None) == (theirs is None)
            assert mine is None or (mine.dtype == theirs.dtype and np.array_equal(mine, theirs))
