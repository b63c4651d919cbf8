"""A grouped dataset in the real App: from the panel to the dataset of its groups, and the selection on the source."""

import fiftyone as fo
import pytest
from playwright.sync_api import expect

from elfs_plugin import runs
from tests.grouped import grouped

N, SLICES, BUDGET = 12, 3, 5


@pytest.fixture(scope="module")
def app_dataset(digits, quick_clustering):
    """A grouped dataset of 12 groups, to which a run on their rows has written five back."""
    source = grouped(digits[: 2 * N])
    source.persistent = True
    companion = fo.load_dataset(runs.make_rows(source, "groups")["dataset"])
    options = {"encoder": None, "embeddings_field": "vector", "num_clusters": 4, "beta": 0.1}
    runs.run_elfs(companion, budget=BUDGET, tag="five", **options)
    runs.write_rows_back(companion)
    yield source
    for name in (*runs.companions_of(source), source.name):
        fo.delete_dataset(name)


@pytest.mark.parametrize("theme", ["dark"], indirect=True)
def test_the_selection_on_the_source_and_the_way_to_its_rows(page, app_url, app_dataset):
    expect(page.get_by_text("ELFS works on the groups")).to_be_visible()
    expect(page.get_by_text(f"{SLICES * N} samples", exact=True)).to_be_visible()
    page.goto(f"{app_url}?view=five")
    expect(page.get_by_text(f"{BUDGET} groups with slice")).to_be_visible()
    page.get_by_role("button").filter(has_text="Open the groups of this dataset").first.click()
    expect(page.get_by_text(f"{N} samples", exact=True)).to_be_visible()
    assert runs.companions_of(app_dataset)[0] in page.url
