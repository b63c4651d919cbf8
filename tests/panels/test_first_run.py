"""The panel in the real App on a dataset that has no run yet."""

import re

import fiftyone as fo
import pytest
from playwright.sync_api import expect

from elfs_plugin import runs

N = 120


def press(page, name):
    page.get_by_role("button").filter(has_text=re.compile(rf"^([a-z_]+)?{re.escape(name)}$")).first.click()


@pytest.mark.parametrize("theme", ["dark"], indirect=True)
def test_empty_dataset_is_told_what_to_do_and_runs_from_the_panel(page, app_dataset):
    expect(page.get_by_text("No ELFS run on this dataset yet")).to_be_visible()
    press(page, "Select images to label …")
    expect(page.get_by_text("ELFS: Select images to label").first).to_be_visible()
    press(page, "Execute")
    expect(page.locator(".elfs-cuts [data-zone=coreset]")).to_be_visible(timeout=90_000)
    for text in ("Traceback", "Something went wrong", "This cannot be shown"):
        expect(page.get_by_text(text)).to_have_count(0)
    app_dataset.reload()
    assert app_dataset.bounds("elfs.rank") == (0, N - 1)
    runs.delete_run(fo.load_dataset(app_dataset.name))
