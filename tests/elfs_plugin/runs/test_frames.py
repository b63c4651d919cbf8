"""Frames of videos: from the video to a selection and back."""

import os

import fiftyone as fo
import pytest
from bson import ObjectId

from elfs_plugin import runs
from tests.videos import scenes, write_video

SECONDS = 4


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
    runs.write_rows_back(companion)
    assert videos.list_saved_views() == ["coreset"] and videos.get_field("elfs_clips") is None
    runs.delete_run(companion)
    assert state_of(videos) == before and videos._frame_collection.count_documents({}) == 0
