"""Images chosen by their objects."""

import os

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

from elfs_plugin import runs
from elfs_plugin.errors import InvalidInput

AROUND = 30
"""Vectors within so many hundredths around an axis: objects of one class are each other's neighbours."""


@pytest.fixture
def companion(tmp_path):
    """The objects of 9 images, with a run. Image i has objects of these classes; the last has none.

    The classes are axes. All objects of one are neighbours, so one object of a class covers it nearly.
    """
    classes = ["aaaa", "aaab", "bbbb", "bbb", "ccc", "cab", "c", "aa", ""]
    rng = np.random.default_rng(0)
    source = fo.Dataset(f"scenes-{os.urandom(6).hex()}")
    for i, found in enumerate(classes):
        path = str(tmp_path / f"{i}.jpg")
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
        labels = [
            fo.Detection(
                label=name,
                bounding_box=[0.1, 0.1, 0.5, 0.5],
                vector=np.eye(4)["abc".index(name)] + rng.uniform(0, AROUND, 4) / 100,
            )
            for name in found
        ]
        source.add_sample(fo.Sample(path, found=fo.Detections(detections=labels), minutes=float(1 + i)))
    made = fo.load_dataset(runs.make_rows(source, "objects")["dataset"])
    runs.run_elfs(made, num_clusters=3, budget=3, beta=0, encoder=None, embeddings_field="vector")
    yield made
    fo.delete_dataset(made.name)
    source.delete()


def places(companion, tag):
    """Numbers of the images with a tag."""
    source = runs.source_of(companion)
    source.reload()
    ids = source.values("id")
    return [ids.index(i) for i in source.match_tags(tag).values("id")]


def test_the_image_with_an_object_of_each_class_comes_first(companion, state_of):
    source = runs.source_of(companion)
    before = state_of(source)
    told = runs.choose_images(companion, budget=1, tag="one", neighbors=20)
    assert places(companion, "one") == [5]
    assert (told["images"], told["coreset"], told["cost"], told["without_objects"]) == (1, 3, 1.0, 1)
    assert told["covered"] > 0.5
    chosen = companion.match_tags("one").values("id")
    assert len(chosen) == 3 and source.load_saved_view("one images").count() == 1
    assert sorted(source.load_saved_view("one").values("id")) == sorted(chosen)
    runs.delete_run(companion)
    assert state_of(source) == before


def test_costs(companion):
    by_objects = runs.choose_images(companion, budget=4, cost="object", tag="objects", neighbors=20)
    assert by_objects["cost"] <= 4 and by_objects["cost"] == by_objects["coreset"]
    by_minutes = runs.choose_images(companion, budget=5, cost="minutes", tag="minutes", neighbors=20)
    minutes = runs.source_of(companion).match_tags("minutes").sum("minutes")
    assert by_minutes["cost"] == minutes <= 5
    half = runs.choose_images(companion, budget="50%", cost="minutes", tag="half", neighbors=20)
    assert half["cost"] <= sum(range(1, 9)) / 2 and half["covered"] >= by_minutes["covered"]
    with pytest.raises(InvalidInput, match="fits into the budget"):
        runs.choose_images(companion, budget="1%", cost="minutes", tag="none")
    with pytest.raises(InvalidInput, match="neither 'image' nor 'object'"):
        runs.choose_images(companion, budget=1, cost="filepath")
    source = runs.source_of(companion)
    source.set_values("minutes", [0.0, None] + [1.0] * 7)
    with pytest.raises(InvalidInput, match="2 of 8 images have no number above 0 in 'minutes'"):
        runs.choose_images(companion, budget=1, cost="minutes")


def test_images_of_labelled_objects_count_as_chosen(companion):
    ids, parents = companion.values(["id", "parent_id"])
    fifth = runs.source_of(companion).values("id")[5]
    companion.select([next(i for i, parent in zip(ids, parents) if parent == fifth)]).tag_samples("done")
    told = runs.choose_images(companion, budget=2, tag="more", locked_tag="done", neighbors=20)
    assert told["images"] == 2 and 5 not in places(companion, "more")


def test_without_writing_back_the_images_stay_as_they_are(companion, state_of):
    source = runs.source_of(companion)
    before = state_of(source)
    runs.choose_images(companion, budget=2, write_back=False)
    assert state_of(source) == before
    assert "elfs_object_coverage" in companion.count_sample_tags()


def test_it_is_for_objects_alone(new_dataset):
    with pytest.raises(InvalidInput, match="on a dataset of objects"):
        runs.choose_images(new_dataset(3), budget=1)
