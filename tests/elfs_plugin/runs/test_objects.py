"""Objects of images: from the labels of a field to a selection and back."""

import importlib
import os
import shutil

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId
from PIL import Image

from elfs_plugin import runs
from elfs_plugin.errors import InvalidInput, NameTaken
from elfs_plugin.runs import kinds
from elfs_plugin.runs.kinds import object_results, objects
from elfs_plugin.runs.kinds.base import Written
from elfs_plugin.runs.kinds.merging import merge
from elfs_plugin.runs.samples import check_collection

SIDE = 64


def detection(x, y, side=0.25, label=None, **attributes):
    return fo.Detection(label=label, bounding_box=[x, y, side, side], **attributes)


def write_image(path, seed):
    """Noise, with a square of another grey in each quarter."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    for at, grey in enumerate((90, 140, 190, 240)):
        y, x = divmod(at, 2)
        image[y * 32 + 8 : y * 32 + 24, x * 32 + 8 : x * 32 + 24] = grey - seed
    Image.fromarray(image).save(path, quality=95)
    return str(path)


def four(seed=0):
    """A detection around each square, with a class and a vector."""
    rng = np.random.default_rng(seed)
    places = [(0.125, 0.125), (0.625, 0.125), (0.125, 0.625), (0.625, 0.625)]
    vectors = np.eye(4, dtype=np.float32) + 0.05 * rng.random((4, 4), dtype=np.float32)
    return [detection(*place, label=name, vector=v) for place, name, v in zip(places, "abcd", vectors)]


@pytest.fixture
def new_source(tmp_path):
    """A factory of datasets with so many images of four objects; deleted with their companions."""
    made = []

    def make(n=6, field="found"):
        source = fo.Dataset(f"scenes-{os.urandom(6).hex()}")
        made.append(source)
        paths = [write_image(tmp_path / f"{len(made)}-{i}.jpg", i) for i in range(n)]
        source.add_samples(
            [fo.Sample(p, tags=["mine"], **{field: fo.Detections(detections=four(i))}) for i, p in enumerate(paths)]
        )
        return source

    yield make
    for source in made:
        for name in runs.companions_of(source):
            fo.delete_dataset(name)
        source.delete()


@pytest.fixture
def scenes(new_source):
    return new_source()


def labels_of(source):
    """Everything that MongoDB has of the labels, and the tags of the images, by image."""
    return {doc["_id"]: (doc.get("found"), doc["tags"]) for doc in source._sample_collection.find({})}


def make(source, **settings):
    told = runs.make_rows(source, "objects", settings=settings)
    return told, fo.load_dataset(told["dataset"])


def run_on(companion, budget=5, **options):
    options = {"encoder": None, "embeddings_field": "vector", "tag": "coreset", **options}
    return runs.run_elfs(companion, num_clusters=4, budget=budget, beta=0.1, **options)


def test_objects_become_a_dataset_and_nothing_of_the_source_changes(scenes, state_of):
    before, labels = state_of(scenes), labels_of(scenes)
    told, companion = make(scenes)
    assert state_of(scenes) == before and labels_of(scenes) == labels
    assert (told["rows"], told["parents"], told["without_rows"], told["excluded"]) == (24, 6, 0, {})
    assert told["dataset"] == f"{scenes.name}-elfs-objects"
    assert sorted(companion.values("id")) == sorted(i for ids in scenes.values("found.detections.id") for i in ids)
    assert companion.count_values("found.label") == dict.fromkeys("abcd", 6)
    assert companion.count_sample_tags() == {"mine": 24}
    first = scenes.first()
    row = companion[first.found.detections[3].id]
    assert row.parent_id == first.id and row.bounding_box == [0.625, 0.625, 0.25, 0.25]
    assert row.area == pytest.approx(1 / 16)
    assert row.vector == pytest.approx(first.found.detections[3].vector)
    with Image.open(row.filepath) as picture:
        # 16 pixels, and a tenth of it (1.6) on each side, to whole pixels
        assert picture.size == (20, 20) and picture.format == "JPEG"
        assert np.asarray(picture)[10, 10].mean() == pytest.approx(240, abs=4)
    assert told["bytes"] == sum(os.path.getsize(path) for path in companion.values("filepath"))
    again, _ = make(scenes)
    assert (again["added"], again["removed"], again["rows"]) == (0, 0, 24)


def test_results_come_back_and_go_again(scenes, state_of):
    before, labels = state_of(scenes), labels_of(scenes)
    _, companion = make(scenes)
    run_on(companion)
    told = runs.write_rows_back(companion)
    assert (told["chosen"], told["views"]) == (5, ["coreset"])
    scenes.reload()
    chosen = set(companion.match_tags("coreset").values("id"))
    patches = scenes.load_saved_view("coreset")
    assert set(patches.values("id")) == chosen
    ranks = dict(zip(*companion.values(["id", "elfs.rank"])))
    clusters = dict(zip(*companion.values(["id", "elfs.pseudo_label.label"])))
    found = [label for sample in scenes for label in sample.found.detections]
    assert {label.id: label.elfs.rank for label in found} == ranks
    assert {label.id: label.elfs.pseudo_label for label in found} == clusters
    assert {label.id for label in found if "coreset" in label.tags} == chosen
    assert {label.elfs.zone for label in found} <= {"hard", "coreset", "easy"}
    per_image = {doc.id: sum(label.id in chosen for label in doc.found.detections) for doc in scenes}
    assert dict(zip(*scenes.values(["id", "elfs.chosen"]))) == per_image
    assert scenes.count_sample_tags() == {"mine": 6}

    written = labels_of(scenes)
    runs.write_rows_back(companion)
    assert labels_of(scenes) == written

    # Another coreset: the old one's tag goes when its run says so, and images are tagged when asked for.
    runs.choose_coreset(companion, method="random", budget=3, tag="three")
    told = runs.write_rows_back(companion, options={"images": True})
    scenes.reload()
    assert told["views"] == ["three", "three images"] and sorted(scenes.list_saved_views()) == told["views"]
    assert scenes.count_label_tags() == {"coreset": 5, "three": 3}
    parents = companion.match_tags("three").distinct("parent_id")
    assert scenes.match_tags("three").values("id") == sorted(map(str, parents))
    assert scenes.load_saved_view("three images").values("id") == sorted(map(str, parents))
    runs.delete_run(companion)
    assert state_of(scenes) == before and labels_of(scenes) == labels


@pytest.mark.parametrize("at", [1, 2])
def test_what_is_killed_while_it_writes_back_is_finished_or_removed(scenes, state_of, monkeypatch, at):
    before, labels = state_of(scenes), labels_of(scenes)
    _, companion = make(scenes)
    run_on(companion)
    calls = []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return merge(*arguments)

    for finish in (runs.repair_run, runs.delete_run):
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(object_results, "merge", killed)
            with pytest.raises(KeyboardInterrupt):
                runs.write_rows_back(companion, options={"images": True})
        finish(companion, "elfs")
        scenes.reload()
        if finish is runs.repair_run:
            assert scenes.load_saved_view("coreset").count() == 5
            assert scenes.count_label_tags() == {"coreset": 5} and "coreset images" in scenes.list_saved_views()
    assert state_of(scenes) == before and labels_of(scenes) == labels


def test_what_is_killed_while_objects_are_looked_for_goes_on(scenes, monkeypatch):
    monkeypatch.setattr(importlib.import_module("elfs_plugin.runs.make_rows"), "BATCH", 4)
    looks = []

    def stop(*_):
        looks.append(1)
        if len(looks) > 4:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(objects.Making, "tell", stop)
        with pytest.raises(KeyboardInterrupt):
            make(scenes)
    companion = fo.load_dataset(f"{scenes.name}-elfs-objects")
    there = companion.count()
    assert 0 < there < 24
    told, _ = make(scenes)
    assert (told["added"], told["rows"]) == (24 - there, 24)


def test_what_the_user_changes_meanwhile_stays(scenes):
    _, companion = make(scenes)
    run_on(companion)
    runs.write_rows_back(companion)
    scenes.reload()
    sample = scenes.first()
    changed, gone = sample.found.detections[0], sample.found.detections[1]
    changed.label, changed["checked"], changed.tags = "new", True, [*changed.tags, "theirs"]
    new = detection(0.4, 0.4, label="e")
    sample.found.detections = [new, changed, *sample.found.detections[2:]]
    sample.save()
    runs.write_rows_back(companion)
    scenes.reload()
    found = {label.id: label for label in scenes.first().found.detections}
    assert gone.id not in found and not found[new.id].has_field("elfs")
    assert found[changed.id].label == "new" and found[changed.id]["checked"] and "theirs" in found[changed.id].tags
    assert found[changed.id].elfs.rank == companion[changed.id].elfs.rank
    picture = companion[gone.id].filepath
    told, _ = make(scenes)
    assert (told["added"], told["removed"], told["rows"]) == (1, 1, 24)
    assert not os.path.exists(picture)
    runs.delete_run(companion)
    kept = {label.id: label for label in scenes.first().found.detections}
    assert kept[changed.id].tags == ["theirs"] and kept[changed.id]["checked"]


def test_a_box_that_was_moved_is_another_object(scenes):
    _, companion = make(scenes)
    run_on(companion)
    sample = scenes.first()
    moved = sample.found.detections[0]
    moved.bounding_box = [0.2, 0.2, 0.5, 0.5]
    sample.save()
    told, companion = make(scenes)
    companion.reload()
    assert (told["added"], told["removed"]) == (1, 1)
    row = companion[moved.id]
    assert row.bounding_box == [0.2, 0.2, 0.5, 0.5] and row.elfs is None and row.tags == ["mine"]
    with Image.open(row.filepath) as picture:
        assert picture.size == (39, 39)  # from pixel 9 to 48: 12.8 and 44.8, and 3.2 more on each side


def test_bad_boxes_are_counted_and_listed(scenes):
    sample = scenes.first()
    bad = {
        "no area": [detection(0.1, 0.1, 0.0), fo.Detection(bounding_box=[0.1, 0.1, 0.5, -0.1]), fo.Detection()],
        "outside": [detection(1.0, 0.1), detection(-0.5, 0.1), detection(0.1, 3.0)],
    }
    bad["no area"].append(fo.Detection(bounding_box=[float("nan"), 0, 0.1, 0.1]))
    partly = detection(0.875, -0.125)
    sample.found.detections += [partly, *bad["no area"], *bad["outside"]]
    sample.save()
    told, companion = make(scenes, margin=0)
    assert told["rows"] == 25
    assert told["excluded"] == {"its box has no area": 4, "its box lies outside the image": 3}
    assert set(told["excluded_objects"]) == {label.id for labels in bad.values() for label in labels}
    row = companion[partly.id]
    assert row.bounding_box == [0.875, 0, 0.125, 0.125] and row.area == 1 / 64
    with Image.open(row.filepath) as picture:
        assert picture.size == (8, 8)


def test_images_without_objects_and_unreadable_ones_are_counted(scenes, tmp_path):
    empty = fo.Sample(write_image(tmp_path / "empty.jpg", 1), found=fo.Detections())
    none = fo.Sample(write_image(tmp_path / "none.jpg", 1))
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    broken = fo.Sample(str(tmp_path / "broken.jpg"), found=fo.Detections(detections=four()))
    useless = fo.Sample(write_image(tmp_path / "useless.jpg", 1), found=fo.Detections(detections=[detection(2, 2)]))
    scenes.add_samples([empty, none, broken, useless])
    told, companion = make(scenes)
    assert (told["rows"], told["parents"], told["without_rows"]) == (24, 10, 4)
    assert told["left_out"] == {
        empty.id: "it has no objects",
        none.id: "it has no objects",
        broken.id: "not an image, or in a format that cannot be read",
        useless.id: "none of its objects can be used",
    }
    assert told["excluded"] == {"its image cannot be read": 4, "its box lies outside the image": 1}
    assert runs.rows_of(companion).left_out["it has no objects"] == 2
    run_on(companion)
    runs.write_rows_back(companion)
    scenes.reload()
    assert scenes[broken.id].elfs is None and not scenes[broken.id].found.detections[0].has_field("elfs")


def test_ten_thousand_objects_in_one_image(scenes):
    # As MongoDB keeps them: FiftyOne takes half a minute to make objects of so many labels.
    image = scenes.limit(1).values("id")[0]
    places = np.random.default_rng(0).random((10_000, 2)) * 0.9
    many = [
        {"_id": ObjectId(), "_cls": "Detection", "tags": [], "bounding_box": [x, y, 0.05, 0.05]}
        for x, y in places.tolist()
    ]
    images = scenes._sample_collection
    images.update_one({"_id": ObjectId(image)}, {"$set": {"found.detections": many}})
    told, companion = make(scenes.select(image), crop_side=16)
    assert told["rows"] == 10_000
    labels = labels_of(scenes)
    rows = companion.values("id")
    ranks = dict(zip(rows, range(10_000)))
    companion.add_sample_field("elfs", fo.EmbeddedDocumentField, embedded_doc_type=fo.DynamicEmbeddedDocument)
    companion.add_sample_field("elfs.rank", fo.IntField)
    companion.set_values("elfs.rank", ranks, key_field="id")
    companion.select(rows[::100]).tag_samples("some")
    written = Written("elfs", "some", ["some"], {"images": True}, {"some": "", "some images": ""})
    kinds.kind("objects").write(scenes, companion, written)
    found = images.find_one({"_id": ObjectId(image)})
    assert {str(label["_id"]): label["elfs"]["rank"] for label in found["found"]["detections"]} == ranks
    assert found["elfs"]["chosen"] == 100 and found["tags"] == ["mine", "some"]
    kinds.kind("objects").remove(scenes, companion, written, [])
    assert labels_of(scenes) == labels


def test_fields_that_are_no_objects_are_refused(scenes, new_source):
    scenes.add_sample_field("truth", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    with pytest.raises(InvalidInput, match="'truth' holds Classification; objects are made of .* here: found"):
        make(scenes, field="truth")
    with pytest.raises(InvalidInput, match="has no field 'other'. Fields of that kind here: found"):
        make(scenes, field="other")
    scenes.add_sample_field("more", fo.EmbeddedDocumentField, embedded_doc_type=fo.Polylines)
    with pytest.raises(InvalidInput, match="Several fields hold objects: found, more"):
        make(scenes)
    scenes.delete_sample_fields(["found", "more"])
    with pytest.raises(InvalidInput, match="no field of detections or polylines"):
        make(scenes)
    with pytest.raises(InvalidInput, match="Objects are made of images; the dataset .* holds nothing"):
        make(fo.Dataset())


def test_a_field_removed_while_a_run_exists(scenes, state_of):
    _, companion = make(scenes)
    run_on(companion)
    runs.write_rows_back(companion)
    scenes.reload()
    scenes.delete_sample_field("found")
    with pytest.raises(InvalidInput, match="which these objects were taken from, has been removed"):
        runs.write_rows_back(companion)
    with pytest.raises(InvalidInput, match="no field 'found'"):
        make(scenes)
    assert companion.count() == 24
    runs.delete_run(companion)
    assert state_of(scenes).saved_views == [] and scenes.get_field("elfs") is None


def test_single_labels_and_polylines(scenes):
    scenes.add_sample_field("one", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detection)
    scenes.add_sample_field("outlines", fo.EmbeddedDocumentField, embedded_doc_type=fo.Polylines)
    for sample in scenes.iter_samples(autosave=True):
        sample["one"] = detection(0.5, 0.5, tags=["theirs"])
        points = [[(0.125, 0.25), (0.5, 0.25)], [(0.25, 0.75)]]
        sample["outlines"] = fo.Polylines(polylines=[fo.Polyline(points=points)])
    told = runs.make_rows(scenes, "objects", name=f"{scenes.name}-outlines", settings={"field": "outlines"})
    assert fo.load_dataset(told["dataset"]).values("bounding_box") == [[0.125, 0.25, 0.375, 0.5]] * 6
    told = runs.make_rows(scenes, "objects", name=f"{scenes.name}-one", settings={"field": "one"})
    companion = fo.load_dataset(told["dataset"])
    assert not companion.has_sample_field("one")  # no class is known
    before = scenes._sample_collection.find_one({})["one"]
    companion.set_values("vector", list(np.random.default_rng(0).random((6, 3))))
    runs.run_elfs(companion, num_clusters=2, budget=2, beta=0, encoder=None, embeddings_field="vector", tag="two")
    runs.write_rows_back(companion)
    scenes.reload()
    assert scenes.load_saved_view("two").count() == 2
    assert sorted(label.elfs.rank for label in scenes.values("one")) == list(range(6))
    assert scenes.count_label_tags() == {"theirs": 6, "two": 2}
    runs.delete_run(companion)
    assert scenes._sample_collection.find_one({})["one"] == before


def test_names_of_others_are_not_taken(scenes):
    _, companion = make(scenes)
    run_on(companion)
    scenes.limit(1).tag_labels("coreset", label_fields="found")
    with pytest.raises(NameTaken, match="Labels of 'found' in .* have the tag 'coreset' already"):
        runs.write_rows_back(companion)
    scenes.untag_labels("coreset", label_fields="found")
    scenes.add_sample_field("found.detections.elfs", fo.StringField)
    with pytest.raises(NameTaken, match="has a field 'found.detections.elfs'"):
        runs.write_rows_back(companion)


def test_patches_stand_for_their_objects(scenes):
    patches = scenes.to_patches("found")
    with pytest.raises(InvalidInput, match="holds the objects of 'found'. Make its objects .*--field found"):
        runs.resolved(patches)
    _, companion = make(scenes)
    assert runs.resolved(patches) is companion
    some = patches.limit(3)
    assert runs.resolved(some).values("id") == sorted(some.values("id"))
    with pytest.raises(InvalidInput, match=f"are in the dataset '{companion.name}'"):
        check_collection(patches)


def test_a_view_of_some_labels_takes_these(scenes):
    some = scenes.filter_labels("found", fo.ViewField("label") == "a")
    told, companion = make(some)
    assert told["rows"] == 6 and companion.count_values("found.label") == {"a": 6}
    told, _ = make(scenes.filter_labels("found", fo.ViewField("label") == "b"))
    assert (told["rows"], told["removed"]) == (12, 0)


def test_labels_with_the_id_of_another_are_left_out(scenes):
    first = scenes.first()
    document = scenes._sample_collection.find_one({"_id": ObjectId(first.id)})
    scenes._sample_collection.insert_one({**document, "_id": ObjectId()})
    told, companion = make(scenes)
    assert (told["rows"], told["excluded"]) == (24, {"its id is that of another object": 4})
    again, _ = make(scenes)
    assert (again["added"], again["removed"]) == (0, 0)


def test_pictures_that_were_lost_are_made_again(scenes):
    _, companion = make(scenes)
    path = companion.first().filepath
    shutil.rmtree(os.path.dirname(path))
    told, _ = make(scenes)
    assert (told["added"], told["removed"]) == (0, 0) and os.path.isfile(path)


def test_rows_of_an_image_that_cannot_be_read_now_stay(scenes):
    _, companion = make(scenes)
    image = scenes.first()
    ids = companion.match({"_parent_id": ObjectId(image.id)}).values("id")
    picture = companion[ids[0]].filepath
    os.remove(picture)
    image.found.detections[1].bounding_box = [0.1, 0.1, 0.2, 0.2]
    image.save()
    os.rename(image.filepath, f"{image.filepath}.away")
    told = runs.make_rows(scenes, "objects")
    assert (told["added"], told["removed"], list(told["unread"])) == (0, 0, [image.id])
    os.rename(f"{image.filepath}.away", image.filepath)
    told = runs.make_rows(scenes, "objects")
    assert (told["added"], told["removed"], told["unread"]) == (1, 1, {})  # the one that was moved
    assert os.path.isfile(picture)
