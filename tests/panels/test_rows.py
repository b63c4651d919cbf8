"""The panel on videos, and on the dataset of their frames."""

import json
import os

import fiftyone as fo
import pytest

from elfs_plugin import runs
from elfs_plugin.errors import Cancelled, ElfsError
from elfs_plugin.runs import jobs
from tests.panels.test_events import Panel
from tests.videos import scenes, write_video


@pytest.fixture
def videos(plugin, tmp_path):
    source = fo.Dataset(f"videos-{os.urandom(6).hex()}")
    source.add_sample(fo.Sample(write_video(tmp_path / "a.avi", scenes(12))))
    yield source
    for name in runs.companions_of(source):
        fo.delete_dataset(name)
    source.delete()


def test_on_videos_it_leads_to_their_frames(videos):
    panel = Panel(videos)
    drawn = json.dumps(panel.drawn_last)
    assert panel.find("open_rows") is None and panel.find("make_rows") and "make_rows (kind" not in drawn
    assert "This dataset holds videos. ELFS works on a dataset of their frames, which it makes" in drawn
    panel.press("make_rows")
    assert panel.started[0][1]["operator_uri"] == "@elfs/coreset/make_rows"
    name = runs.make_rows(videos)["dataset"]
    panel.fire("on_tick")
    assert panel.find("open_rows", panel.drawn)  # drawn anew, for there is a dataset of frames now
    panel.press("open_rows")
    assert panel.started == [("open_dataset", {"dataset": name})]
    panel.fire("on_tick")
    assert panel.drawn == {}


def test_on_frames_it_speaks_of_frames_and_writes_back(videos):
    companion = fo.load_dataset(runs.make_rows(videos)["dataset"])
    assert "Choose which frames to label" in json.dumps(Panel(companion).drawn_last)
    runs.run_elfs(companion, num_clusters=2, budget=4, beta=0.1, tag="four")
    panel = Panel(companion)
    assert '"noun": "frames"' in json.dumps(panel.drawn_last)  # for the live histogram
    panel.press("write_back")
    assert panel.started[0][1]["operator_uri"] == "@elfs/coreset/write_rows_back"
    panel.press("save_coreset")
    assert panel.said[0].startswith("4 frames tagged 'four' and saved")


def test_while_the_rows_are_made_it_shows_how_far_and_cancels(videos):
    panel = Panel(videos)
    with pytest.raises(Cancelled), jobs.job(videos, "rows_frames", "Making frames", {"Looking": 1}) as reporter:
        reporter._interval = 0  # every report is seen
        report = reporter.stage("Looking")
        report(0.25, "a.avi")
        panel.fire("on_tick")
        assert panel.find("progress", panel.drawn) and panel.data["progress"] == 0.25
        assert panel.find("make_rows")["view"]["disabled"]
        report(0.5, "b.avi")
        panel.fire("on_tick")
        assert panel.drawn == {} and panel.data["progress"] == 0.5 and panel.data["stage"].startswith("50%")
        panel.press("cancel")
        for _ in range(100):
            report(0.6, "c.avi")
    panel.fire("on_tick")
    assert panel.find("cancel") is None and not panel.find("make_rows")["view"].get("disabled")
    assert len(panel.said) == 1 and "The last job did not finish" in panel.alerts
    assert panel.state.get("key") is None


def test_an_error_is_told_and_stays_until_the_next_begins(videos, monkeypatch):
    panel = Panel(videos)
    with monkeypatch.context() as broken:
        broken.setattr("elfs_plugin.runs.kinds.frames.Kind.find", lambda *_: 1 / 0)
        with pytest.raises(ElfsError):
            runs.make_rows(videos)
    panel.fire("on_tick")
    assert len(panel.said) == 1 and "The last job did not finish" in panel.alerts
    assert "The last job did not finish" in Panel(videos).alerts
    runs.make_rows(videos)
    assert runs.read_job(videos, "rows_frames") is None
    panel.fire("on_tick")
    assert panel.said == [] and "The last job did not finish" not in panel.alerts


def test_videos_that_gave_no_frames_are_told(videos, tmp_path):
    (tmp_path / "broken.avi").write_bytes(b"no video")
    videos.add_sample(fo.Sample(str(tmp_path / "broken.avi")))
    panel = Panel(videos)
    runs.make_rows(videos)
    panel.fire("on_tick")
    assert "1 of 2 gave no frames" in panel.said[0]
    assert "Not all of it gave rows" in panel.alerts and '"1: ' in panel.text
    panel.fire("on_tick")
    assert panel.said == [] and panel.drawn == {}


def test_on_images_the_end_of_their_objects_is_told_once(plugin, written):
    panel = Panel(written[0])
    with pytest.raises(ElfsError), jobs.job(written[0], "rows_objects", "Making objects", {"Looking": 1}):
        panel.fire("on_tick")
        assert panel.find("cancel", panel.drawn)
        raise ElfsError("No such file.")
    panel.fire("on_tick")
    assert panel.said == ["Making objects: No such file."] and panel.state["key"] != "rows_objects"
    assert runs.read_job(written[0], "rows_objects") is None
    panel.fire("on_tick")
    assert panel.said == []
