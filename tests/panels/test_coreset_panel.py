"""The panel in the real App: from a finished run to a saved coreset."""

import re

import pytest
from playwright.sync_api import expect

from elfs_plugin import runs

N = 120


def grid_count(page, count):
    expect(page.get_by_text(re.compile(rf"^{count} samples?$"))).to_be_visible()


def zone(page, name):
    """The label of a zone above the live histogram; its count is in ``data-count``."""
    return page.locator(f".elfs-cuts [data-zone={name}]")


def shows_zones(page, hard, coreset):
    for name, count in {"hard": hard, "coreset": coreset, "easy": N - hard - coreset}.items():
        expect(zone(page, name)).to_have_attribute("data-count", str(count))


def press(page, name):
    # An icon is text too, in front of the label; and a zone's label stands in the histogram as well.
    text = re.compile(rf"^([a-z_]+)?{re.escape(name)}$")
    page.get_by_role("button").filter(has_text=text).first.click()


def open_tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def no_error_page(page):
    for text in ("Traceback", "Something went wrong", "This cannot be shown"):
        expect(page.get_by_text(text)).to_have_count(0)


@pytest.fixture(scope="module")
def run(app_dataset, quick_clustering):
    runs.run_elfs(app_dataset, num_clusters=10, budget=24, beta=0.2)


@pytest.fixture
def finished_run(app_dataset, run):
    """The run with the same coreset for each test."""
    app_dataset.reload()
    runs.select_coreset(app_dataset, budget=24, beta=0.2, tag="first", view_name="first")


@pytest.mark.usefixtures("finished_run")
class TestReady:
    def test_tune_look_save_and_reload(self, page, app_dataset):
        grid_count(page, N)
        shows_zones(page, 24, 24)
        no_error_page(page)

        press(page, "Too hard")
        grid_count(page, 24)
        press(page, "Too easy")
        grid_count(page, 72)
        press(page, "Coreset")
        grid_count(page, 24)

        # An exact number of images moves the budget, and the grid follows because it shows the coreset.
        images = page.get_by_label("Budget in images")
        images.fill("30")
        images.press("Enter")
        grid_count(page, 30)
        shows_zones(page, 24, 30)

        press(page, "Borderline")
        grid_count(page, 104)  # 50 on each side of the cuts at 24 and 54

        # The card of the first image.
        page.locator("[data-cy=looker]").first.click(position={"x": 19, "y": 19})  # its checkbox
        expect(page.get_by_text(re.compile("too hard: AUM rank 0.0% is below β = 20.0%"))).to_be_visible()

        press(page, "Save coreset")
        expect(page.get_by_text(re.compile("30 images tagged"))).to_be_visible()
        app_dataset.reload()
        assert app_dataset.count_values("elfs.zone") == {"hard": 24, "coreset": 30, "easy": N - 54}
        assert app_dataset.count_sample_tags() == {"first": 30}
        assert len(app_dataset.load_saved_view("first")) == 30

        page.reload()
        shows_zones(page, 24, 30)
        press(page, "All")  # the App keeps the view for the next page
        grid_count(page, N)
        no_error_page(page)

    def test_every_tab(self, page):
        open_tab(page, "Clusters")
        expect(page.get_by_text(re.compile("Mean confidence"))).to_be_visible()
        open_tab(page, "Budget")
        expect(page.get_by_text("How many labels are enough?")).to_be_visible()
        open_tab(page, "Audit")
        expect(page.get_by_text("For checking only")).to_be_visible()
        open_tab(page, "Compare")
        expect(page.get_by_role("button").filter(has_text="Same cuts, other seeds")).to_be_visible()
        open_tab(page, "Tune")
        shows_zones(page, 24, 24)
        no_error_page(page)

    @pytest.mark.parametrize("theme", ["dark"], indirect=True)
    def test_jobs_show_their_results(self, page, app_dataset):
        shows_zones(page, 24, 24)
        open_tab(page, "Compare")
        press(page, "Same cuts, other seeds")
        expect(page.get_by_text(re.compile("With another seed of the proxy"))).to_be_visible(timeout=120_000)
        open_tab(page, "Tune")
        shows_zones(page, 24, 24)

        # The search draws its curve and moves the cut.
        press(page, "Find β")
        expect(page.get_by_text(re.compile("held-out split"))).to_be_visible(timeout=120_000)
        app_dataset.reload()
        chosen = runs.load_results(app_dataset, "elfs")["beta"]["chosen"]
        shows_zones(page, int(chosen * N + 1e-9), 24)
        no_error_page(page)
