"""The panel on videos, and on the dataset of their frames."""

import json
import os

import fiftyone as fo
import pytest

from elfs_plugin import runs
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
    assert panel.find("open_rows") is None and "Make its frames a dataset" in json.dumps(panel.drawn_last)
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
