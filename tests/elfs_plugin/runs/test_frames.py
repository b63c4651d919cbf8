"""Frames of videos: from the video to a selection and back."""

import os
import shutil
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId
from fiftyone import ViewField as F
from PIL import Image

from elfs_plugin import runs, video
from elfs_plugin.errors import InvalidInput, NameTaken
from elfs_plugin.runs import rows_folder
from elfs_plugin.runs.kinds import frames
from elfs_plugin.runs.kinds.clips import clips_around
from tests.videos import scenes, write_video

SECONDS = 4


@pytest.fixture
def state_of(state_of):
    """What is written, but what the last job that made rows has left to be told, and nothing else of the store."""

    def written(dataset):
        found = state_of(dataset)
        stores = {name: [key for key in keys if key != "job_rows_frames"] for name, keys in found.stores.items()}
        return found._replace(stores=stores)

    return written


@pytest.fixture
def videos(tmp_path):
    """A dataset of three videos of 4 seconds, 10 frames a second, and three that give no frames."""
    source = fo.Dataset(f"videos-{os.urandom(6).hex()}")
    paths = [write_video(tmp_path / f"{name}.avi", scenes(SECONDS, seed=i)) for i, name in enumerate("abc")]
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    paths += [str(tmp_path / name) for name in ("text.mp4", "empty.mp4", "missing.mp4")]
    source.add_samples([fo.Sample(path, tags=["mine"]) for path in paths])
    source.info["mine"] = 1
    source.save()
    yield source
    if not source.deleted:
        for name in runs.companions_of(source):
            fo.delete_dataset(name)
        source.delete()


def run_on(companion, budget=5, **options):
    return runs.run_elfs(companion, num_clusters=3, budget=budget, beta=0.1, tag="coreset", **options)


def test_frames_become_a_dataset_and_nothing_of_the_source_changes(videos, state_of):
    before = state_of(videos)
    made = runs.make_rows(videos, "frames", settings={"fps": 2})
    assert state_of(videos) == before and videos._frame_collection.count_documents({}) == 0
    assert (made["rows"], made["parents"], made["without_rows"]) == (3 * SECONDS * 2, 6, 3)
    companion = fo.load_dataset(made["dataset"])
    assert companion.persistent and companion.media_type == "image"
    assert made["dataset"] == f"{videos.name}-elfs-frames"
    times = companion.match({"_parent_id": ObjectId(videos.first().id)}).values("time")
    assert times == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5])
    assert all(os.path.isfile(path) for path in companion.values("filepath"))
    assert companion.count_sample_tags() == {"mine": 24}
    reasons = {os.path.basename(videos[i].filepath): why for i, why in made["left_out"].items()}
    assert reasons == {
        "text.mp4": "it cannot be opened as a video",
        "empty.mp4": "the file is empty",
        "missing.mp4": "the file is not there",
    }


def test_results_come_back_and_go_again(videos, state_of):
    before = state_of(videos)
    companion = fo.load_dataset(runs.make_rows(videos, settings={"fps": 2})["dataset"])
    run_on(companion)
    told = runs.write_rows_back(companion, options={"clips": 0.2})
    assert (told["chosen"], told["views"]) == (5, ["coreset", "coreset clips"])
    videos.reload()
    chosen = companion.match_tags("coreset").values("id")
    view = videos.load_saved_view("coreset")
    assert sorted(view.values("id")) == sorted(chosen)
    ranks = dict(zip(*companion.values(["id", "elfs.rank"])))
    frames = videos.to_frames()
    assert dict(zip(*frames.values(["id", "elfs.rank"]))) == ranks
    assert frames.first().elfs.zone in ("hard", "coreset", "easy")
    assert sum(n or 0 for n in videos.values("elfs.chosen")) == 5
    assert videos.exists("elfs.chosen").count() == 3
    for clip in videos.load_saved_view("coreset clips"):
        assert clip.support[1] - clip.support[0] >= 2
    runs.write_rows_back(companion, options={})
    assert videos.list_saved_views() == ["coreset"] and videos.get_field("elfs_clips") is None
    runs.delete_run(companion)
    assert state_of(videos) == before and videos._frame_collection.count_documents({}) == 0


def test_making_it_again_adds_and_removes_and_keeps_results(videos, tmp_path):
    companion = fo.load_dataset(runs.make_rows(videos, settings={"fps": 1})["dataset"])
    run_on(companion, 4)
    ranks = dict(zip(*companion.values(["id", "elfs.rank"])))
    gone = videos.first().id
    lost = set(companion.match({"_parent_id": ObjectId(gone)}).values("id"))
    paths = companion.select(list(lost)).values("filepath")
    videos.delete_samples(gone)
    videos.add_sample(fo.Sample(write_video(tmp_path / "d.avi", scenes(2, seed=9))))
    decoded = []
    with pytest.MonkeyPatch.context() as patch:
        original = frames.sampled_frames
        patch.setattr(frames, "sampled_frames", lambda path, *rest: decoded.append(path) or original(path, *rest))
        told = runs.make_rows(videos)
    assert (told["added"], told["removed"], told["rows"]) == (2, 4, 10)
    assert [os.path.basename(path) for path in decoded if path.endswith("avi")] == ["d.avi"]  # no other one again
    assert not any(os.path.exists(path) for path in paths)
    companion.reload()
    kept = {i: rank for i, rank in zip(*companion.values(["id", "elfs.rank"])) if rank is not None}
    assert kept == {i: rank for i, rank in ranks.items() if i not in lost}
    assert runs.update_run(companion)["added"] == 2
    runs.write_rows_back(companion)
    assert runs.make_rows(videos)["added"] == 0
    with pytest.raises(InvalidInput, match="was made with fps=1"):
        runs.make_rows(videos, settings={"fps": 2})
    other = runs.make_rows(videos, name=f"{videos.name}-four", settings={"fps": 4})
    assert other["rows"] == 40
    four = fo.load_dataset(other["dataset"])
    with pytest.raises(NameTaken, match="not written from"):
        run_on(four, 8)
        runs.write_rows_back(four)
    runs.delete_run(four)
    runs.run_elfs(four, "four", num_clusters=3, budget=8, beta=0.1, tag="eight")
    runs.write_rows_back(four, "four")
    runs.delete_run(companion)
    assert len(videos.load_saved_view("eight")) == 8  # also those whose images are the other dataset's
    runs.delete_run(four, "four")
    assert (
        not videos.has_frame_field("filepath")
        and not videos.has_frame_field("four")
        and not videos.has_sample_field("four")
    )
    with pytest.raises(InvalidInput, match="several datasets of frames"):
        runs.resolved(videos)


def test_frames_that_have_an_image_and_vectors_are_taken_as_they_are(videos, digits, state_of):
    video = videos.first()
    for number, path in enumerate(digits[:40:2], start=1):
        video.frames[2 * number] = fo.Frame(
            filepath=str(path), vector=[float(number), 1.0], good=fo.Classification(label="x")
        )
    video.save()
    before = state_of(videos), list(videos._frame_collection.find())
    told = runs.make_rows(videos.limit(1), settings={"fps": 5})
    companion = fo.load_dataset(told["dataset"])
    assert (told["rows"], told["parents"]) == (20, 1)
    docs = {str(doc["_id"]): doc for doc in before[1]}
    assert set(companion.values("id")) == set(docs)
    for sample in companion:
        assert sample.filepath == docs[sample.id]["filepath"] and sample.vector == docs[sample.id]["vector"]
        assert sample.time == pytest.approx((sample.frame_number - 1) / 10)
    assert companion.count_values("good.label") == {"x": 20}
    runs.run_elfs(companion, num_clusters=2, budget=3, beta=0.1, encoder=None, embeddings_field="vector", tag="three")
    runs.write_rows_back(companion)
    runs.delete_run(companion)
    assert state_of(videos) == before[0]
    own = {name for doc in before[1] for name in doc} - {"last_modified_at"}
    after = [{name: doc[name] for name in own if name in doc} for doc in videos._frame_collection.find()]
    assert after == [{name: doc[name] for name in own if name in doc} for doc in before[1]]


def test_times_of_a_variable_rate_come_from_the_file(tmp_path):
    path = tmp_path / "uneven.gif"
    images = [Image.fromarray(image) for image in scenes(1)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=[100] * 5 + [500] * 5)
    length = video.Length()
    found = [(frame.number, frame.time) for frame in video.sampled_frames(path, 2, length)]
    assert found == [(1, 0.0), (6, 0.5), (7, 1.0), (8, 1.5), (9, 2.0), (10, 2.5)]
    assert (length.frames, length.seconds) == (10, 2.5)
    every = [frame.time for frame in video.sampled_frames(path, None)]
    assert every == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 1, 1.5, 2, 2.5])


def test_clips_meet_and_stay_in_the_video():
    numbers, times = np.arange(1, 42, 10), np.arange(5.0)
    chosen = np.array([True, False, True, True, False])
    assert clips_around(numbers, times, chosen, 0.3, (45, 4.4)) == [(1, 4), (18, 24), (28, 34)]
    assert clips_around(numbers, times, chosen, 0.6, (45, 4.4)) == [(1, 7), (15, 37)]
    assert clips_around(numbers, times, np.array([False] * 4 + [True]), 9, (45, 4.4)) == [(1, 45)]


def test_names_of_somebody_else_on_the_source_are_refused(videos, state_of):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    run_on(companion, 3)
    for prepare, words in (
        (lambda: videos.add_frame_field("elfs", fo.IntField), "has a field 'frames.elfs'"),
        (lambda: videos.add_sample_field("elfs", fo.IntField), "has a field 'elfs'"),
        (lambda: videos.save_view("coreset", videos.limit(1)), "A saved view 'coreset' already exists"),
    ):
        prepare()
        before = state_of(videos)
        with pytest.raises(NameTaken, match=words):
            runs.write_rows_back(companion)
        assert state_of(videos) == before and videos._frame_collection.count_documents({}) == 0
        for name in ("elfs",):
            videos.delete_frame_fields(name) if videos.has_frame_field(name) else None
            videos.delete_sample_fields(name) if videos.has_sample_field(name) else None
    taken = fo.Dataset(f"{videos.name}-taken")
    with pytest.raises(NameTaken, match="cannot be given"):
        runs.make_rows(videos, name=taken.name)
    taken.delete()


@pytest.mark.parametrize("at", ["_write_frames", "_write_counts", "_write_clips", "source_fields.save_view"])
def test_what_is_killed_while_it_writes_back_is_finished_or_removed(videos, state_of, monkeypatch, at):
    before = state_of(videos)
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    run_on(companion, 3)

    def die(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"elfs_plugin.runs.kinds.frames.{at}", die)
        with pytest.raises(KeyboardInterrupt):
            runs.write_rows_back(companion, options={"clips": 0.5})
    runs.repair_run(companion)
    videos.reload()
    assert videos.list_saved_views() == ["coreset", "coreset clips"]
    assert sorted(videos.load_saved_view("coreset").values("id")) == sorted(
        companion.match_tags("coreset").values("id")
    )
    with monkeypatch.context() as patch:
        patch.setattr(f"elfs_plugin.runs.kinds.frames.{at}", die)
        with pytest.raises(KeyboardInterrupt):
            runs.write_rows_back(companion, options={"clips": 0.5})
    runs.delete_run(companion)
    assert state_of(videos) == before and videos._frame_collection.count_documents({}) == 0


def test_two_runs_share_the_paths_and_a_field_of_somebody_stays(videos):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    for key in ("one", "two"):
        runs.run_elfs(companion, key, num_clusters=3, budget=3, beta=0.1, tag=key, embeddings_field=f"{key}_vectors")
        runs.write_rows_back(companion, key)
    videos.reload()
    frame = videos.first().frames.first()
    frame["mine"] = "kept"
    frame.save()
    runs.delete_run(companion, "one")
    assert len(videos.load_saved_view("two")) == 3 and not videos.has_frame_field("one")
    runs.delete_run(companion, "two")
    docs = list(videos._frame_collection.find())
    assert [doc["mine"] for doc in docs] == ["kept"] and not docs[0].get("filepath")
    assert not videos.has_frame_field("filepath")


def test_views_of_the_source_mean_their_rows(videos):
    companion = fo.load_dataset(runs.make_rows(videos, settings={"fps": 2})["dataset"])
    assert runs.resolved(videos) is companion
    assert len(runs.resolved(videos.skip(1).limit(1))) == 8
    run_on(companion, 3)
    runs.write_rows_back(companion, options={"clips": 0.3})
    videos.reload()
    some = videos.load_saved_view("coreset")
    assert sorted(runs.resolved(some).values("id")) == sorted(some.values("id"))
    clips = videos.load_saved_view("coreset clips")
    assert set(map(str, runs.resolved(clips).values("parent_id"))) == set(clips.values("sample_id"))
    with pytest.raises(InvalidInput, match="are in the dataset"):
        runs.check_collection(some)
    clone = companion.clone()
    assert runs.rows_of(clone) is None and runs.companions_of(videos) == [companion.name]
    clone.delete()


def test_without_its_source_the_dataset_goes_on(videos):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    run_on(companion, 3)
    runs.write_rows_back(companion)
    videos.delete()
    try:
        with pytest.raises(InvalidInput, match="has been deleted"):
            runs.write_rows_back(companion)
        runs.delete_run(companion)
        assert run_on(companion, 3)["coreset"] == 3
    finally:
        companion.delete()


def test_choosing_keeps_the_rules_about_videos_and_times(videos):
    companion = fo.load_dataset(runs.make_rows(videos, settings={"fps": 5})["dataset"])
    run_on(companion, 6)
    runs.choose_coreset(companion, method="k_center", budget=6, tag="apart", spread={"gap": 1.0, "per_parent": 2})
    chosen = companion.match_tags("apart")
    by_video = {}
    for parent, time in zip(*chosen.values(["parent_id", "time"])):
        by_video.setdefault(parent, []).append(time)
    assert {len(times) for times in by_video.values()} == {2}
    assert all(abs(times[0] - times[1]) >= 1 for times in by_video.values())
    runs.choose_coreset(companion, method="random", budget=10, tag="whole", sequence=5)
    assert len(companion.match_tags("whole")) == 10
    assert runs.load_record(companion, "elfs").saved["apart"]["spread"] == {"gap": 1.0, "per_parent": 2}


def test_a_deleted_dataset_of_frames_leaves_nothing_in_the_way(videos, state_of):
    before = state_of(videos)
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    run_on(companion, 3)
    runs.write_rows_back(companion)
    companion.delete()
    another = fo.load_dataset(runs.make_rows(videos)["dataset"])
    run_on(another, 4)
    assert runs.write_rows_back(another)["chosen"] == 4
    assert len(videos.load_saved_view("coreset")) == 4
    runs.delete_run(another)
    assert state_of(videos) == before and videos._frame_collection.count_documents({}) == 0


def test_what_is_killed_while_it_reads_videos_goes_on_with_the_next_one(videos, monkeypatch, state_of):
    before, original, read = state_of(videos), frames.sampled_frames, []

    def dies_at_the_second(path, *rest):
        read.append(path)
        if len(read) == 2:
            raise KeyboardInterrupt
        return original(path, *rest)

    monkeypatch.setattr(frames, "sampled_frames", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        runs.make_rows(videos)
    assert state_of(videos) == before
    assert runs.make_rows(videos)["rows"] == 3 * SECONDS
    assert read.count(videos.first().filepath) == 1


def test_a_video_that_is_a_slice_of_groups_is_refused(videos):
    groups = fo.Dataset()
    groups.add_group_field("group", default="video")
    groups.add_sample(fo.Sample(videos.first().filepath, group=fo.Group().element("video")))
    with pytest.raises(InvalidInput, match="this view holds video. Choose slices of images"):
        runs.check_collection(groups.select_group_slices("video"))
    groups.delete()


def rows_and_files(companion):
    companion.reload()
    ids, tags, paths = companion.values(["id", "tags", "filepath"])
    return dict(zip(ids, tags)), {path: os.path.isfile(path) for path in paths}


def touch(path):
    os.utime(path, ns=(1, os.stat(path).st_mtime_ns + 10**9))


@pytest.mark.parametrize("damage", ["away", "empty", "text"])
def test_rows_of_a_video_that_cannot_be_read_now_stay(videos, damage):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    run_on(companion, 3)
    before = rows_and_files(companion)
    path = videos.first().filepath
    os.rename(path, f"{path}.away")
    if damage != "away":
        with open(path, "w") as file:
            file.write("" if damage == "empty" else "no video")
    told = runs.make_rows(videos)
    assert (told["added"], told["removed"], told["without_rows"]) == (0, 0, 3)
    assert list(told["unread"]) == [videos.first().id] and told["unread"][videos.first().id].startswith(("the ", "it "))
    assert rows_and_files(companion) == before and all(before[1].values())
    os.replace(f"{path}.away", path)
    told = runs.make_rows(videos)
    assert (told["added"], told["removed"], told["unread"]) == (0, 0, {})
    assert rows_and_files(companion) == before


def test_rows_of_frames_with_images_stay_while_the_video_is_away(videos, digits):
    video = videos.first()
    for number, path in enumerate(digits[:4], start=1):
        video.frames[number] = fo.Frame(filepath=str(path))
    video.save()
    companion = fo.load_dataset(runs.make_rows(videos.limit(1), settings={"fps": 0})["dataset"])
    before = rows_and_files(companion)
    os.rename(video.filepath, f"{video.filepath}.away")
    told = runs.make_rows(videos.limit(1))
    assert len(before[0]) == 4 and rows_and_files(companion) == before and list(told["unread"]) == [video.id]


@pytest.mark.parametrize("at", ["sampled_frames", "_take_place", "rename"])
def test_what_is_killed_while_it_decodes_again_loses_no_row(videos, monkeypatch, at):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    run_on(companion, 3)
    before = rows_and_files(companion)
    touch(videos.first().filepath)

    def die(*args):
        raise KeyboardInterrupt

    def some(path, *rest):
        yield next(original(path, *rest))
        die()

    original, rename, renamed = frames.sampled_frames, frames.Path.rename, []

    def once(path, target):
        if renamed:
            die()
        renamed.append(path)
        return rename(path, target)

    with monkeypatch.context() as patch:
        if at == "rename":
            patch.setattr(frames.Path, "rename", once)
        else:
            patch.setattr(frames, at, some if at == "sampled_frames" else die)
        with pytest.raises(KeyboardInterrupt):
            runs.make_rows(videos)
    told = runs.make_rows(videos)
    assert (told["added"], told["removed"]) == (0, 0)
    assert rows_and_files(companion) == before and all(before[1].values())
    folder = os.path.dirname(next(iter(before[1])))
    assert not any(name.endswith((".new", ".old")) for name in os.listdir(os.path.dirname(folder)))


def test_rows_whose_files_are_lost_get_them_again(videos):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    before = rows_and_files(companion)
    shutil.rmtree(os.path.dirname(companion.first().filepath))
    told = runs.make_rows(videos)
    assert (told["added"], told["removed"]) == (0, 0) and rows_and_files(companion) == before


@pytest.mark.parametrize("of", ["companion", "source"])
def test_files_that_a_clone_uses_stay_until_it_is_gone(videos, of):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    run_on(companion, 3)
    runs.write_rows_back(companion)
    videos.reload()
    folder = Path(runs.rows_of(companion).folder)
    paths = companion.values("filepath")
    clone = {"companion": companion, "source": videos}[of].clone()
    companion.delete()
    videos.delete()
    try:
        assert rows_folder.remove_orphans() == [] and all(map(os.path.isfile, paths))
    finally:
        clone.delete()
    assert rows_folder.remove_orphans() == [folder] and not folder.exists()


def test_a_view_of_frames_that_got_other_ids_means_the_same_rows(videos):
    companion = fo.load_dataset(runs.make_rows(videos, settings={"fps": 0})["dataset"])
    with_rows = videos.limit(3)
    for sample in with_rows:
        for number in (1, 2, 7):
            sample.frames[number] = fo.Frame(mine="kept")
        sample.save()
    view = with_rows.to_frames(sample_frames="dynamic").match(F("frame_number") < 5)
    assert not set(view.values("id")) & set(companion.values("id")) and len(view) == 6
    there = runs.resolved(view).values(["parent_id", "frame_number"])
    assert sorted(zip(*there)) == sorted(zip(*view.values(["sample_id", "frame_number"])))
    every = fo.load_dataset(runs.make_rows(videos)["dataset"])
    for sample in with_rows:
        for number in range(1, 10 * SECONDS + 1):
            sample.frames[number] = sample.frames[number]
        sample.save()
    assert runs.resolved(with_rows.to_frames(sample_frames="dynamic")) is every
    companion.delete_samples(companion.match(F("frame_number") == 7))
    with pytest.raises(InvalidInput, match="None of the frames"):
        runs.resolved(with_rows.to_frames(sample_frames="dynamic").match(F("frame_number") == 7))


def test_samples_that_a_user_adds_to_the_rows_stay(videos, digits):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    companion.add_samples([fo.Sample(str(path), tags=["coreset"]) for path in digits[:2]])
    raw = companion._sample_collection.insert_one(
        {"_dataset_id": companion._doc.id, "_media_type": "image", "filepath": str(digits[2]), "tags": []}
    )
    added = {*companion.match({"_parent_id": None}).values("id"), str(raw.inserted_id)}
    videos.delete_samples(videos.first().id)
    told = runs.make_rows(videos)
    assert (told["added"], told["removed"]) == (0, SECONDS)
    companion.reload()
    assert len(added) == 3 and added <= set(companion.values("id"))
    assert frames.clips_of(companion, "coreset", 0.5) == {}


def test_rows_of_videos_that_are_gone_are_removed_together(videos, monkeypatch):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    removed, original = [], fo.Dataset.delete_samples
    monkeypatch.setattr(fo.Dataset, "delete_samples", lambda self, ids: removed.append(ids) or original(self, ids))
    videos.delete_samples(videos.limit(2).values("id"))
    removed.clear()
    assert runs.make_rows(videos)["removed"] == 2 * SECONDS == len(removed[0]) and len(removed) == 1
    assert companion.count() == SECONDS


def test_frames_that_were_there_before_stay_when_the_run_goes(videos):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    run_on(companion, 3)
    video = videos.first()
    video.frames[1] = fo.Frame()  # as empty as those that are added
    video.frames[2] = fo.Frame()
    video.save()
    before = {doc["_id"]: doc["frame_number"] for doc in videos._frame_collection.find()}
    schema = set(videos.get_frame_field_schema())
    runs.write_rows_back(companion)
    videos.reload()
    assert videos._frame_collection.count_documents({}) == 3 * SECONDS + 1
    assert video.frames[1].made_by_elfs is None
    assert videos._frame_collection.count_documents({"made_by_elfs": True}) == 3 * SECONDS - 1
    runs.write_rows_back(companion)
    runs.delete_run(companion)
    videos.reload()
    after = list(videos._frame_collection.find())
    assert {doc["_id"]: doc["frame_number"] for doc in after} == before
    assert not any(doc.get("filepath") for doc in after) and set(videos.get_frame_field_schema()) == schema


def test_a_flag_of_somebody_on_frames_is_refused(videos):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    run_on(companion, 3)
    videos.add_frame_field("made_by_elfs", fo.BooleanField)
    with pytest.raises(NameTaken, match="Rename the field"):
        runs.write_rows_back(companion)


def test_the_saved_view_copies_only_the_chosen_frames(videos):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    run_on(companion, 3)
    runs.write_rows_back(companion)
    videos.reload()
    view = videos.load_saved_view("coreset")
    assert sorted(view.values("id")) == sorted(companion.match_tags("coreset").values("id"))
    assert view._dataset.count() == 3
