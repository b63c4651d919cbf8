"""From videos to their frames and back in the real App."""

import re

import fiftyone as fo
import pytest
from playwright.sync_api import expect

from elfs_plugin import runs
from tests.videos import scenes, write_video


@pytest.fixture(scope="module")
def app_dataset(request, tmp_path_factory):
    """A persistent dataset of two videos."""
    folder = tmp_path_factory.mktemp("videos")
    dataset = fo.Dataset("elfs-app-videos", persistent=True, overwrite=True)
    dataset.add_samples([fo.Sample(write_video(folder / f"{i}.avi", scenes(10, seed=i))) for i in (0, 1)])
    yield dataset
    for name in runs.companions_of(dataset):
        fo.delete_dataset(name)
    fo.delete_dataset(dataset.name)


def press(page, name):
    page.get_by_role("button").filter(has_text=re.compile(rf"^([a-z_]+)?{re.escape(name)}$")).first.click()


@pytest.mark.parametrize("theme", ["dark"], indirect=True)
def test_the_panel_leads_from_videos_to_frames(page, app_dataset):
    expect(page.get_by_text("ELFS works on the frames")).to_be_visible()
    press(page, "Make a dataset of its frames …")
    expect(page.get_by_text("Frames in a second").first).to_be_visible()
    press(page, "Execute")
    expect(page.get_by_text("Open the frames of this dataset")).to_be_visible(timeout=90_000)
    press(page, "Open the frames of this dataset")
    expect(page.get_by_text(re.compile("^20 samples$"))).to_be_visible(timeout=90_000)
    for text in ("Traceback", "Something went wrong", "This cannot be shown", "Error occurred"):
        expect(page.get_by_text(text)).to_have_count(0)
