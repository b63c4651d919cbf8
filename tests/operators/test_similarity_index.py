import fiftyone as fo
import fiftyone.brain as fob
import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs
from tests.helpers import blobs

VECTORS, _ = blobs()
OPTIONS = {"num_clusters": 4, "budget": 20, "budget_unit": "images", "beta": 0.1, "beta_mode": "manual"}


@pytest.fixture
def indexed(dataset):
    """A dataset with a similarity index 'sim', one of boxes, and an embedding plot."""
    first = dataset.first()
    first["boxes"] = fo.Detections(detections=[fo.Detection(label="a", bounding_box=[0, 0, 0.5, 0.5])])
    first.save()
    boxes = {first.id: VECTORS[:1]}
    fob.compute_similarity(dataset, embeddings=boxes, brain_key="of_boxes", patches_field="boxes")
    fob.compute_similarity(dataset, embeddings=VECTORS, brain_key="sim")
    fob.compute_visualization(dataset, points=VECTORS[:, :2], brain_key="plot", progress=False)
    return dataset


def offered(properties):
    return {choice.value: choice.label for choice in properties["embeddings_field"].view.choices}


@pytest.mark.parametrize(("name", "source"), [("run_elfs", {"source": "field"}), ("compute_pseudo_labels", {})])
def test_fields_and_indexes_are_in_one_list(indexed, form, errors_of, name, source):
    assert offered(form(name, indexed, **source)) == {"index:sim": "sim (similarity index, sklearn)"}
    assert form(name, indexed, **source)["embeddings_field"].default == "index:sim"
    indexed.add_sample_field("clip", fo.VectorField)
    found = form(name, indexed, **source)
    assert list(offered(found)) == ["clip", "index:sim"]
    assert (found["embeddings_field"].view.label, found["embeddings_field"].default) == ("Vectors", "clip")
    assert errors_of(name, indexed, **source, embeddings_field="index:sim") == {}


@pytest.mark.parametrize(("name", "source"), [("run_elfs", {"source": "field"}), ("compute_pseudo_labels", {})])
@pytest.mark.parametrize("given", [{"embeddings_field": "index:simm"}, {"similarity_index": "simm"}])
def test_an_index_that_is_none_is_told_beside_the_list(indexed, errors_of, name, source, given):
    assert errors_of(name, indexed, **source, **given) == {
        "embeddings_field": "The dataset has no similarity index 'simm' (similarity indexes: of_boxes, sim). Did you "
        "mean 'sim'?"
    }


def test_an_index_of_labels_is_refused(indexed, errors_of):
    found = errors_of("run_elfs", indexed, source="field", embeddings_field="index:of_boxes")
    assert "holds vectors of the labels in 'boxes'" in found["embeddings_field"]


def test_the_choice_of_a_form(indexed, execute, form):
    summary = execute("run_elfs", indexed, source="field", embeddings_field="index:sim", **OPTIONS).result
    assert (summary["similarity_index"], summary["coreset"]) == ("sim", 20)
    assert form("compute_pseudo_labels", indexed)["embeddings_field"].default == "index:sim"
    again = execute("compute_pseudo_labels", indexed, embeddings_field="index:sim", num_clusters=3).result
    assert (again["similarity_index"], again["clusters"]) == ("sim", 3)


def test_the_only_index_is_taken_where_there_is_no_field(indexed, execute, operator):
    assert execute("run_elfs", indexed, source="field", **OPTIONS).result["similarity_index"] == "sim"
    fob.compute_similarity(indexed, embeddings=VECTORS, brain_key="other")
    with pytest.raises(ExecutionError, match=r"Name the similarity_index to use \(similarity indexes: sim, other\)"):
        operator("run_elfs")(indexed, source="field", **OPTIONS)


def test_from_python(indexed, operator):
    summary = operator("run_elfs")(indexed, similarity_index="sim", num_clusters=4, budget=20, beta=0.1)
    assert (summary["similarity_index"], summary["embeddings_field"]) == ("sim", None)
    index = indexed.load_brain_results("sim")
    assert operator("compute_pseudo_labels")(indexed, similarity_index=index, num_clusters=3)["clusters"] == 3
    assert runs.load_record(indexed, "elfs").similarity_index == "sim"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"embeddings_field": "clip"}, "Give embeddings_field or similarity_index, not both"),
        ({"source": "encoder"}, "similarity_index='sim' would have no effect: with source='encoder'"),
        ({"encoder": "pixels"}, "encoder='pixels' would have no effect: vectors that are there are used"),
    ],
)
def test_from_python_contradictions_are_refused(indexed, operator, given, words):
    with pytest.raises(ExecutionError, match=words):
        operator("run_elfs")(indexed, similarity_index="sim", num_clusters=4, budget=20, beta=0.1, **given)


def test_an_index_is_no_field_to_write_to(indexed, errors_of):
    """The App sends what was typed before another choice was made."""
    found = errors_of("run_elfs", indexed, source="encoder", embeddings_field="index:sim")
    assert found.keys() == {"embeddings_field"} and "cannot be a field name" in found["embeddings_field"]
