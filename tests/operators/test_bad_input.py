"""What ELFS cannot work on is refused by the form itself: nothing is executed, and the message says what to do."""

import fiftyone as fo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError

VIEW_OPERATORS = ("compute_embeddings", "compute_pseudo_labels", "compute_scores", "run_elfs")
RUN_OPERATORS = ("search_beta", "select_coreset", "export_coreset", "delete_run")


@pytest.fixture(scope="module")
def unusable(new_dataset, digits):
    """What each operator on a view refuses -> a collection of that kind."""
    videos = fo.Dataset()
    videos.add_sample(fo.Sample(filepath="a.mp4"))
    groups = fo.Dataset()
    groups.add_group_field("group", default="left")
    group = fo.Group()
    groups.add_samples(
        [fo.Sample(filepath=str(digits[i]), group=group.element(name)) for i, name in enumerate(("left", "right"))]
    )
    images = new_dataset(1)
    boxes = fo.Detections(detections=[fo.Detection(label="a", bounding_box=[0, 0, 0.5, 0.5])])
    images.set_values("boxes", [boxes])
    empty = fo.Dataset()
    yield {
        "video": videos,
        "groups": groups,
        "patches": images.to_patches("boxes"),
        "empty view": images.match_tags("absent"),
        "empty dataset": empty,
    }
    for dataset in (videos, groups, empty):
        dataset.delete()


@pytest.mark.parametrize("name", VIEW_OPERATORS)
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("video", "ELFS works on images; this view holds video"),
        ("groups", "this view holds groups. Make its groups a dataset"),
        ("patches", "this view holds the objects of 'boxes'"),
        ("empty view", "The view has no samples"),
        ("empty dataset", "The view has no samples"),
    ],
)
def test_unusable_collections(unusable, execute, operator, state_of, name, kind, words):
    collection = unusable[kind]
    before = state_of(collection._dataset)
    with pytest.raises(ExecutionError, match=f"Validation error. Path: refused. Reason: .*{words}"):
        execute(name, collection)
    with pytest.raises(ExecutionError, match=words):
        operator(name)(collection)
    assert state_of(collection._dataset) == before


@pytest.mark.parametrize("name", VIEW_OPERATORS + RUN_OPERATORS)
def test_no_dataset(errors_of, name):
    assert "No dataset is open" in errors_of(name, None)["refused"]


@pytest.mark.parametrize("name", RUN_OPERATORS)
def test_no_run(dataset, execute, name):
    with pytest.raises(ExecutionError, match="Path: key. Reason: There (is no ELFS run 'elfs'|are no ELFS runs)"):
        execute(name, dataset, **({"path": "/never/written.csv"} if name == "export_coreset" else {}))


@pytest.mark.parametrize(
    ("params", "path", "words"),
    [
        ({"num_clusters": 1}, "num_clusters", "between 2 and 80, not 1"),
        ({"num_clusters": 0}, "num_clusters", "between 2 and 80, not 0"),
        ({"num_clusters": 81}, "num_clusters", "80 samples cannot fill 81 clusters"),
        ({"budget": 0, "budget_unit": "images"}, "budget", "from 1 to 80; it is 0"),
        ({"budget": -4, "budget_unit": "images"}, "budget", "it is -4"),
        ({"budget": 81, "budget_unit": "images"}, "budget", "it is 81"),
        ({"budget": 0.5, "budget_unit": "images"}, "budget", "must be a whole number; it is 0.5"),
        ({"budget": 0, "budget_unit": "percent"}, "budget", "above 0% and at most 100%; it is 0%"),
        ({"budget": -1, "budget_unit": "percent"}, "budget", "it is -1%"),
        ({"budget": 101, "budget_unit": "percent"}, "budget", "it is 101%"),
        ({"budget": float("nan")}, "budget", "must be a number, not nan"),
        ({"budget": float("inf")}, "budget", "it is inf"),
        ({"budget": 40, "budget_unit": "images", "beta": 0.6}, "beta", "β must be between 0 and 0.5; it is 0.6"),
        ({"budget": 95, "budget_unit": "percent", "beta_mode": "manual"}, "beta", "between 0 and 0.05; it is 0.2"),
        ({"beta": -0.1}, "beta", "it is -0.1"),
        ({"beta": float("nan")}, "beta", "it is nan"),
        ({"repeats": 0}, "repeats", "from 1 to 50"),
        ({"epochs": 0}, "epochs", "from 1"),
        ({"key": "two words"}, "key", "cannot be a run key"),
        ({"key": "mine"}, "key", "already has a field 'mine'"),
        ({"tag": "used"}, "tag", "already in use"),
        ({"view_name": "Used"}, "view_name", "already exists"),
        ({"source": "field"}, "embeddings_field", "The dataset has no vector field"),
        ({"source": "field", "embeddings_field": "mine"}, "embeddings_field", "'mine' does not hold vectors"),
        ({"encoder": "timm:resnet18", "weights": "/no/such/file"}, "weights", "There is no file /no/such/file"),
    ],
)
def test_parameters(dataset, execute, errors_of, state_of, params, path, words):
    dataset.set_values("mine", list(range(80)))
    dataset.limit(3).tag_samples("used")
    dataset.save_view("Used", dataset.limit(2))
    before = state_of(dataset)
    assert words in errors_of("run_elfs", dataset, **params)[path]
    with pytest.raises(ExecutionError, match=f"Validation error. Path: {path}"):
        execute("run_elfs", dataset, **params)
    assert state_of(dataset) == before


def test_fewer_samples_than_clusters(dataset, execute):
    with pytest.raises(ExecutionError, match="4 samples cannot fill 5 clusters. Choose between 2 and 4 clusters"):
        execute("run_elfs", dataset[:4], num_clusters=5)


def test_the_default_field_name_is_taken(dataset, execute):
    """Known only when it runs, since the key and the encoder decide; the field is left alone."""
    dataset.set_values("elfs_embeddings", ["mine"] * 80)
    with pytest.raises(ExecutionError, match="already has a field 'elfs_embeddings' that this run did not write"):
        execute("run_elfs", dataset, num_clusters=5)
    assert dataset.distinct("elfs_embeddings") == ["mine"]


def test_bad_vectors_are_excluded(dataset, execute):
    vectors = list(4 * np.eye(6)[np.arange(80) % 5] + 0.1)
    vectors[0], vectors[1], vectors[2], vectors[3] = None, np.full(6, np.nan), np.full(6, np.inf), np.ones(2)
    dataset.add_sample_field("clip", fo.VectorField)
    dataset.set_values("clip", vectors)
    summary = execute("run_elfs", dataset, source="field", num_clusters=5, budget=10).result
    assert (summary["samples"], summary["failed"], summary["coreset"]) == (76, 4, 10)
    assert dataset[:4].values("elfs.rank") == [None] * 4


def test_beta_and_budget_may_fill_the_dataset(dataset, execute):
    summary = execute("run_elfs", dataset, num_clusters=5, budget=75, budget_unit="percent", beta=0.25).result
    assert (summary["hard"], summary["coreset"], summary["easy"]) == (20, 60, 0)
