"""Groups: from a grouped dataset to a selection of groups and back to all of their slices."""

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId
from fiftyone import ViewField as F

from elfs_plugin import runs
from elfs_plugin.errors import ElfsError, InvalidInput, NameTaken
from elfs_plugin.runs.kinds import source_fields
from elfs_plugin.runs.kinds.group_vectors import mean_of
from tests.grouped import all_slices, grouped

GROUPS = 20


@pytest.fixture
def make(digits):
    """A function that makes a grouped dataset of 20 groups, see :func:`tests.grouped.grouped`."""
    made = []

    def new(**options):
        made.append(grouped(digits[: 2 * GROUPS], **options))
        return made[-1]

    yield new
    for source in made:
        for name in runs.companions_of(source):
            fo.delete_dataset(name)
        source.delete()


@pytest.fixture
def source(make):
    return make()


def rows_of(source, **settings):
    return fo.load_dataset(runs.make_rows(source, "groups", settings=settings)["dataset"])


def run_on(companion, tag="coreset", **options):
    return runs.run_elfs(
        companion, encoder=None, embeddings_field="vector", num_clusters=4, budget=5, beta=0.1, tag=tag, **options
    )


def documents(source):
    """All that is stored of the samples, but the times of change."""
    found = {doc["_id"]: doc for doc in source._sample_collection.find({}, {"last_modified_at": 0})}
    return {i: {name: value for name, value in doc.items() if value is not None} for i, doc in found.items()}


def group_of(dataset):
    """Group id -> number of the group."""
    samples = all_slices(dataset)
    return dict(zip(samples.values("group.id"), samples.values("n")))


def test_each_group_becomes_the_image_of_its_slice(source, state_of):
    before, stored = state_of(source), documents(source)
    made = runs.make_rows(source, "groups", settings={"slice": "right"})
    assert state_of(source) == before and documents(source) == stored
    assert (made["rows"], made["parents"], made["without_rows"]) == (GROUPS, GROUPS, 0)
    assert made["dataset"] == f"{source.name}-elfs-groups"
    companion, right = fo.load_dataset(made["dataset"]), source.select_group_slices("right")
    assert companion.persistent and companion.media_type == "image"
    assert sorted(companion.values("id")) == sorted(group_of(source))
    expected = {group: row for group, *row in zip(*right.values(["group.id", "filepath", "id", "n", "tags"]))}
    found = {row: values for row, *values in zip(*companion.values(["id", "filepath", "slice_id", "n", "tags"]))}
    assert found == expected
    vectors = dict(zip(*right.values(["group.id", "vector"])))
    for row, vector in zip(*companion.values(["id", "vector"])):
        assert vector.tolist() == vectors[row].tolist()
    assert companion.distinct("slice_name") == ["right"] and not companion.has_sample_field("group")


def test_a_group_field_of_another_name(make):
    source = make(field="frameset")
    companion = rows_of(source, vectors="mean")
    assert sorted(companion.values("id")) == sorted(set(all_slices(source).values("frameset.id")))
    run_on(companion)
    runs.write_rows_back(companion)
    assert set(all_slices(source).match_tags("coreset").values("n")) == set(companion.match_tags("coreset").values("n"))
    assert len(runs.resolved(source.match(F("n") < 4))) == 4


def test_fields_that_have_a_name_of_the_rows(source):
    source.add_sample_field("slice_name", fo.StringField)
    all_slices(source).set_values("slice_name", ["of the user"] * 3 * GROUPS)
    assert rows_of(source).distinct("slice_name") == ["left"]


def test_labels_of_the_slice_come_along_once(source):
    left = source.select_group_slices("left")
    left.set_values("label", [fo.Classification(label=str(n)) for n in left.values("n")])
    companion = rows_of(source)
    labels = dict(zip(*companion.values(["n", "label.label"])))
    assert labels == {n: str(n) for n in range(GROUPS)}
    companion.match(F("n") == 3).set_values("label.label", ["corrected"])
    companion.match(F("n") == 4).set_values("label", [None])
    left.match(F("n").is_in([3, 4])).set_values("label.label", ["new", "new"])
    runs.make_rows(source, "groups")
    companion.reload()
    labels = dict(zip(*companion.values(["n", "label.label"])))
    assert (labels[3], labels[4], labels[5]) == ("corrected", "new", "5")


def test_no_slice_named(source):
    assert rows_of(source).distinct("slice_name") == ["left"]
    source.default_group_slice = "right"
    again = runs.make_rows(source, "groups")
    assert again["added"] == again["removed"] == 0
    assert fo.load_dataset(again["dataset"]).distinct("slice_name") == ["left"]


def test_the_default_slice_is_no_image(source):
    source.default_group_slice = "video"
    assert rows_of(source).distinct("slice_name") == ["left"]


def test_means_of_the_vectors_of_all_slices(make):
    source = make(lacking={3: ["right"]})
    without = source.select_group_slices("right").match(F("n") == 4)
    without.set_values("vector", [None])
    companion = rows_of(source, vectors="mean")
    samples = all_slices(source)
    of_group = {}
    for n, vector in zip(*samples.values(["n", "vector"])):
        if vector is not None:
            of_group.setdefault(n, []).append(vector / np.linalg.norm(vector))
    assert [len(of_group[n]) for n in (2, 3, 4)] == [2, 1, 1]
    for n, vector in zip(*companion.values(["n", "vector"])):
        assert vector == pytest.approx(np.mean(of_group[n], axis=0), abs=1e-6)


def test_means_follow_the_source(source):
    companion = rows_of(source, vectors="mean")
    stamps = dict(zip(*companion.values(["n", "last_modified_at"])))
    right = source.select_group_slices("right")
    right.match(F("n") == 2).set_values("vector", [np.array([0, 0, 0, 2.0])])
    runs.make_rows(source, "groups")
    companion.reload()
    changed = {n for n, stamp in zip(*companion.values(["n", "last_modified_at"])) if stamp != stamps[n]}
    assert changed == {2}
    assert companion.match(F("n") == 2).values("vector")[0][3] == pytest.approx(0.5, abs=0.1)


def test_means_of_a_list_of_numbers(source):
    samples = all_slices(source)
    source.add_sample_field("numbers", fo.ListField, subfield=fo.FloatField)
    samples.set_values("numbers", [[float(n), 1.0] for n in samples.values("n")])
    companion = rows_of(source, vectors="mean", embeddings_field="numbers")
    assert isinstance(companion.get_field("numbers"), fo.ListField)
    n, numbers, vectors = companion.values(["n", "numbers", "vector"])
    assert numbers == [pytest.approx(list(np.array([i, 1.0]) / np.hypot(i, 1)), abs=1e-6) for i in n]
    assert all(vector is not None for vector in vectors)  # those of the slice


def test_no_mean_of_vectors_of_several_dimensions():
    assert mean_of([np.ones(2), np.ones(3)]) is None


def test_vectors_of_several_dimensions_are_left_out(source, caplog):
    source.select_group_slices("right").match(F("n") == 7).set_values("vector", [np.ones(9)])
    companion = rows_of(source, vectors="mean")
    assert companion.exists("vector", False).values("n") == [7]
    assert "1 groups have vectors of several dimensions" in caplog.text


def test_no_vectors_to_take_the_mean_of(source):
    source.delete_sample_field("vector")
    with pytest.raises(InvalidInput, match=r"Compute embeddings of all slices first.*\['left', 'right'\]"):
        runs.make_rows(source, "groups", settings={"vectors": "mean"})
    assert runs.companions_of(source) == []
    with pytest.raises(InvalidInput, match="no vectors in a field 'n'.*none"):
        runs.make_rows(source, "groups", settings={"vectors": "mean", "embeddings_field": "n"})


def test_embeddings_of_all_slices_first_then_their_means(source):
    source.delete_sample_field("vector")
    images = source.select_group_slices(["left", "right"])
    runs.compute_embeddings(images, key="slices", encoder="pixels")
    field = runs.Run(source, "slices").record.embeddings_field
    companion = rows_of(source, vectors="mean")
    assert len(companion.exists(field)) == GROUPS and not companion.has_sample_field("slices")
    runs.run_elfs(companion, encoder=None, embeddings_field=field, num_clusters=4, budget=5, beta=0.1)
    runs.delete_run(companion)
    assert companion.has_sample_field(field)


def test_a_group_without_any_vector(source):
    all_slices(source).match(F("n") == 5).set_values("vector", [None] * 3)
    companion = rows_of(source, vectors="mean")
    assert companion.exists("vector", False).values("n") == [5]
    summary = run_on(companion)
    assert (summary["samples"], summary["failed"]) == (GROUPS - 1, 1)


def test_the_encoder_works_on_the_chosen_slice(source):
    companion = rows_of(source, slice="right")
    assert runs.compute_embeddings(companion, encoder="pixels")["samples"] == GROUPS


def test_groups_without_the_slice_are_counted_and_listed(make):
    source = make(lacking={1: ["left"], 2: ["left", "video"], 3: ["left", "right"], 4: ["right"]})
    made = runs.make_rows(source, "groups")
    groups = {group for group, n in group_of(source).items() if n in (1, 2, 3)}
    assert (made["rows"], made["parents"], made["without_rows"]) == (GROUPS - 3, GROUPS, 3)
    assert made["left_out"] == dict.fromkeys(groups, "the group has no slice 'left'")
    companion = fo.load_dataset(made["dataset"])
    assert runs.rows_of(companion).left_out == {"the group has no slice 'left'": 3}
    assert sorted(set(range(GROUPS)) - set(companion.values("n"))) == [1, 2, 3]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"slice": "lefd"}, "has no slice 'lefd'. Slices of images: left, right.*Did you mean 'left'"),
        ({"slice": "video"}, "has a slice 'video' of video, not of images"),
        ({"slice": 3}, "slice is a text, not 3"),
        ({"vectors": "median"}, "Unknown vectors 'median'"),
        ({"embeddings_field": "vector"}, "embeddings_field is for the mean of vectors"),
        ({"fps": 3}, "groups has no parameter 'fps'"),
    ],
)
def test_settings_that_do_not_fit(source, settings, words):
    with pytest.raises(InvalidInput, match=words):
        runs.make_rows(source, "groups", settings=settings)
    assert runs.companions_of(source) == []


def test_no_slice_of_images(digits):
    source = fo.Dataset()
    source.add_group_field("group", default="video")
    source.add_samples([fo.Sample("a.mp4", group=fo.Group().element("video"))])
    with pytest.raises(InvalidInput, match="No slice of .* holds images"):
        runs.make_rows(source, "groups")
    source.delete()


def test_a_dataset_that_is_not_grouped(new_dataset):
    with pytest.raises(InvalidInput, match="is not grouped: it holds image"):
        runs.make_rows(new_dataset(3), "groups")


def test_results_come_to_all_slices_and_go_again(make, state_of):
    source = make(lacking={6: ["right"], 7: ["left"]}, extra=("cloud", "a.pcd"))
    companion = rows_of(source)
    before, stored = state_of(source), documents(source)
    run_on(companion)
    told = runs.write_rows_back(companion)
    assert (told["chosen"], told["views"]) == (5, ["coreset"])
    chosen = set(companion.match_tags("coreset").values("n"))
    samples = all_slices(source)
    assert len(chosen) == 5
    for n, tags in zip(*samples.values(["n", "tags"])):
        assert tags == (["mine", "coreset"] if n in chosen else ["mine"])
    ranks = dict(zip(*companion.values(["n", "elfs.rank"])))
    assert 7 not in ranks
    assert all(rank == ranks.get(n) for n, rank in zip(*samples.values(["n", "elfs.rank"])))
    assert set(source.distinct("elfs.zone")) <= {"hard", "coreset", "easy"}
    view = source.load_saved_view("coreset")
    for name in ("left", "cloud"):
        view.group_slice = name
        assert set(view.values("n")) == chosen
    runs.write_rows_back(companion)
    assert documents(source).keys() == stored.keys()
    assert source.count_sample_tags()["coreset"] == 5
    runs.delete_run(companion)
    assert state_of(source) == before and documents(source) == stored


def test_what_was_interrupted_is_finished(source, state_of, monkeypatch):
    companion = rows_of(source)
    before, stored = state_of(source), documents(source)
    run_on(companion)
    with monkeypatch.context() as broken:

        def fail(*args):
            raise OSError("no connection")

        broken.setattr(source_fields, "save_view", fail)
        with pytest.raises(ElfsError, match="no connection"):
            runs.write_rows_back(companion)
    assert source.list_saved_views() == []
    runs.repair_run(companion)
    chosen = set(companion.match_tags("coreset").values("n"))
    source.reload()
    assert set(source.load_saved_view("coreset").values("n")) == chosen
    assert set(all_slices(source).match_tags("coreset").values("n")) == chosen
    runs.delete_run(companion)
    assert state_of(source) == before and documents(source) == stored


def test_written_again_the_tags_are_those_of_now(source):
    companion = rows_of(source)
    run_on(companion)
    runs.write_rows_back(companion)
    runs.select_coreset(companion, budget=3, beta=0.3, tag="coreset")
    runs.write_rows_back(companion)
    chosen = set(companion.match_tags("coreset").values("n"))
    assert len(chosen) == 3
    assert set(all_slices(source).match_tags("coreset").values("n")) == chosen


def test_tags_that_somebody_else_has_given_stay(source):
    companion = rows_of(source)
    run_on(companion)
    runs.write_rows_back(companion)
    chosen = companion.match_tags("coreset").values("n")
    other = next(n for n in range(GROUPS) if n not in chosen)
    all_slices(source).match(F("n") == other).tag_samples("coreset")
    stored = documents(source)
    runs.write_rows_back(companion)
    assert documents(source) == stored
    runs.delete_run(companion)
    assert set(all_slices(source).match_tags("coreset").values("n")) == {other}


def test_a_tag_that_the_source_uses_already(source):
    companion = rows_of(source)
    run_on(companion)
    source.select_group_slices("right").match(F("n") < 2).tag_samples("coreset")
    stored = documents(source)
    with pytest.raises(NameTaken, match="The tag 'coreset' is already in use on the dataset"):
        runs.write_rows_back(companion)
    assert documents(source) == stored and not source.has_sample_field("elfs")


def test_a_key_that_the_source_has_a_run_under(source):
    runs.run_elfs(
        source.select_group_slices("right"),
        encoder=None,
        embeddings_field="vector",
        num_clusters=4,
        budget=5,
        beta=0.1,
        tag="own",
    )
    companion = rows_of(source)
    assert not companion.has_sample_field("elfs")
    run_on(companion)
    with pytest.raises(NameTaken, match="has a run 'elfs' of its own"):
        runs.write_rows_back(companion)
    runs.delete_run(companion)
    assert source.count_sample_tags() == {"mine": GROUPS} and source.has_run("elfs")
    runs.delete_run(source)


def test_slices_and_groups_that_come_and_go(source, digits, state_of):
    companion = rows_of(source)
    run_on(companion)
    stored = {row["n"]: row for row in companion._sample_collection.find()}
    samples = all_slices(source)
    of = {(n, name): i for n, name, i in zip(*samples.values(["n", "group.name", "id"]))}
    groups = {n: group for group, n in group_of(source).items()}
    source.delete_samples([of[1, "left"], *(of[2, name] for name in ("left", "right", "video")), of[3, "right"]])
    source.delete_samples([of[4, "left"]])
    group = fo.Group()
    source.add_samples(
        [
            fo.Sample(str(digits[60]), group=fo.Group(id=groups[4]).element("left"), n=40, vector=np.ones(4)),
            fo.Sample(str(digits[61]), group=group.element("left"), n=41, vector=np.ones(4)),
        ]
    )
    made = runs.make_rows(source, "groups")
    assert (made["rows"], made["added"], made["removed"], made["without_rows"]) == (GROUPS - 1, 1, 2, 1)
    companion.reload()
    now = {row["n"]: row for row in companion._sample_collection.find()}
    assert set(now) == (set(range(GROUPS)) - {1, 2, 4}) | {40, 41}
    assert now[40]["_id"] == ObjectId(groups[4]) and now[40]["filepath"] == str(digits[60])
    assert "elfs" not in now[40] and now[40]["tags"] == []
    assert now[3]["elfs"] == stored[3]["elfs"]
    runs.update_run(companion)
    assert len(companion.exists("elfs.rank")) == GROUPS - 1
    runs.write_rows_back(companion)
    assert set(all_slices(source).exists("elfs.rank").values("n")) == {*now} - {40} | {4, 40}


def test_the_slice_has_gone(source):
    companion = rows_of(source)
    source.delete_group_slice("left")
    with pytest.raises(InvalidInput, match="has no slice 'left'. Slices of images: right"):
        runs.make_rows(source, "groups")
    assert len(companion) == GROUPS


def test_fields_that_go_while_a_run_exists(source, state_of):
    companion = rows_of(source)
    run_on(companion)
    source.delete_sample_field("vector")
    before = state_of(source)
    assert runs.make_rows(source, "groups")["rows"] == GROUPS
    assert len(companion.exists("vector")) == GROUPS
    runs.write_rows_back(companion)
    source.delete_sample_field("elfs")
    runs.write_rows_back(companion)
    assert source.has_sample_field("elfs.rank")
    source.delete_sample_field("elfs.rank")
    runs.delete_run(companion)
    assert state_of(source) == before and "coreset" not in all_slices(source).count_sample_tags()


def test_the_written_field_is_gone_when_the_run_goes(source):
    companion = rows_of(source)
    run_on(companion)
    runs.write_rows_back(companion)
    source.delete_sample_field("elfs")
    runs.delete_run(companion)
    assert source.list_saved_views() == []
    assert all_slices(source).count_sample_tags() == {"mine": 3 * GROUPS}


@pytest.mark.parametrize("again", [False, True])
def test_a_tag_given_by_hand_stays_when_the_field_is_renamed(source, again):
    companion = rows_of(source)
    run_on(companion)
    runs.write_rows_back(companion)
    others = all_slices(source).match_tags("coreset", bool=False)
    by_hand = others.values("id")[:2]
    others.select(by_hand).tag_samples("coreset")
    source.rename_sample_field("elfs", "kept")
    if again:
        runs.write_rows_back(companion)
        assert len(all_slices(source).match_tags("coreset")) == 5 * 3 + 2
    runs.delete_run(companion)
    assert all_slices(source).match_tags("coreset").values("id") == by_hand


def test_a_filtered_view_means_its_groups(source):
    view = source.match(F("n") < 6)
    assert runs.make_rows(view, "groups")["rows"] == 6
    source.select_group_slices("left").set_values("vector", [np.ones(4)] * GROUPS)
    made = runs.make_rows(source.match(F("n") > 15), "groups")
    assert (made["rows"], made["added"], made["parents"]) == (10, 4, 4)
    companion = fo.load_dataset(made["dataset"])
    vectors = dict(zip(*companion.values(["n", "vector"])))
    assert {n for n, vector in vectors.items() if vector.tolist() == [1, 1, 1, 1]} == {16, 17, 18, 19}
    assert sorted(runs.resolved(source.match(F("n").is_in([1, 2, 10, 17]))).values("n")) == [1, 2, 17]
    assert runs.resolved(source) is companion
    flat = source.select_group_slices("right").match(F("n").is_in([8, 9]))
    assert runs.make_rows(flat, "groups")["rows"] == 12
    with pytest.raises(InvalidInput, match="The view has no samples"):
        runs.make_rows(source.match(F("n") > 100), "groups")


def test_groups_made_by_a_field(source, new_dataset):
    images = new_dataset(6)
    images.set_values("scene", ["a", "b"] * 3)
    for dataset, field in ((images, "scene"), (source, "n")):
        dataset.save_view("by field", dataset.group_by(field))
        view = dataset.load_saved_view("by field")
        assert runs.resolved(view) is view and runs.kind_of(view) is None
        for refused in (view, dataset.group_by(field)):
            with pytest.raises(InvalidInput, match=r"groups by a field \(group_by\).*view.flatten\(\)"):
                runs.check_collection(refused)
            with pytest.raises(InvalidInput, match=r"made by a field \(group_by\).*view.flatten\(\)"):
                runs.make_rows(refused, "groups")
    runs.check_collection(images.group_by("scene").flatten())


def test_what_is_no_group_is_refused_with_what_to_do(source):
    rows = rows_of(source)
    with pytest.raises(InvalidInput, match=f"groups of this dataset are in the dataset '{rows.name}'.*left, right"):
        runs.check_collection(source)
    runs.check_collection(source.select_group_slices(["left", "right"]))
    for view, held in ((source.select_group_slices("video"), "video"), (all_slices(source), "mixed")):
        assert runs.resolved(view) is view
        with pytest.raises(InvalidInput, match=f"this view holds {held}. Choose slices of images"):
            runs.check_collection(view)


def test_a_clone_of_the_rows_is_a_dataset_of_images(source):
    clone = rows_of(source).clone()
    assert runs.rows_of(clone) is None and len(runs.companions_of(source)) == 1
    clone.delete()


def test_what_a_deleted_dataset_of_rows_has_left_is_taken_over(source, state_of):
    before, stored = state_of(source), documents(source)
    companion = rows_of(source)
    run_on(companion)
    runs.write_rows_back(companion)
    companion.delete()
    again = rows_of(source)
    assert not again.has_sample_field("elfs")
    assert again.count_sample_tags() == {"mine": GROUPS}  # those that were written back are no tags of the rows
    run_on(again)
    runs.write_rows_back(again)
    assert source.count_sample_tags() == {"mine": GROUPS, "coreset": 5}
    runs.delete_run(again)
    assert documents(source) == stored and state_of(source) == before
