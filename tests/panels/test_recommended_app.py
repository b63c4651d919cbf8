"""The tab *Recommended* in the real App, and the form that chooses by the recommended method."""

import re

import pytest
from playwright.sync_api import expect

from elfs_plugin import runs

N, BUDGET = 120, 24
TAG = "elfs_recommended"


@pytest.fixture(scope="module")
def finished_run(app_dataset, quick_clustering):
    runs.run_elfs(app_dataset, num_clusters=10, budget=BUDGET, beta=0.2)
    yield
    app_dataset.reload()
    runs.delete_run(app_dataset)


def press(page, name):
    page.get_by_role("button").filter(has_text=re.compile(rf"^([a-z_]+)?{re.escape(name)}$")).first.click()


def grid_count(page, count):
    expect(page.get_by_text(re.compile(rf"^{count} samples?$"))).to_be_visible()


def no_error_page(page):
    for text in ("Traceback", "Something went wrong", "This cannot be shown", "Error occurred"):
        expect(page.get_by_text(text)).to_have_count(0)


def saved(dataset):
    return runs.Run(dataset, "elfs").record.saved


@pytest.mark.usefixtures("finished_run")
class TestRecommended:
    @pytest.mark.parametrize("theme", ["dark"], indirect=True)
    def test_choose_look_and_ask_why(self, page, app_dataset):
        expect(page.locator(".elfs-plot")).to_be_visible()
        page.get_by_role("tab", name="Recommended", exact=True).click()
        expect(page.get_by_text("Recommended: graph_coverage.")).to_be_visible()
        images = page.get_by_label("Budget, images")
        images = images if images.count() else page.locator("input[type=number]")
        images.fill("30")
        images.press("Tab")
        expect(page.get_by_text(re.compile("^(Recommended: graph_coverage.)? ?30 of 120 images"))).to_be_visible()

        press(page, "Choose by graph_coverage")
        expect(page.get_by_text("30 images by graph_coverage")).to_be_visible(timeout=90_000)
        app_dataset.reload()
        assert app_dataset.count_sample_tags()[TAG] == len(app_dataset.load_saved_view(TAG)) == 30
        assert app_dataset.count_values("elfs.zone")["coreset"] == BUDGET  # the cuts that were saved stay

        run = runs.Run(app_dataset, "elfs")
        counts = {}
        for part, label in (
            ("chosen", "Chosen"),
            ("only_chosen", "Only graph_coverage"),
            ("only_elfs", "Only ELFS"),
            ("neither", "Neither"),
        ):
            counts[part] = len(runs.beside_view(run, TAG, 24, 30, part))
            press(page, label)
            grid_count(page, counts[part])
        assert counts["only_chosen"] == counts["only_elfs"] < counts["chosen"] == 30

        press(page, "Chosen")
        grid_count(page, 30)
        page.locator("[data-cy=looker]").first.click(position={"x": 19, "y": 19})  # its checkbox
        expect(page.get_by_text(re.compile(r"number 1 of 30: it stands for \d+ other images"))).to_be_visible()
        press(page, "Group of the selected image")
        first = runs.beside_view(run, TAG, 0, 1, "chosen").first().id
        grid_count(page, len(runs.group_view(run, TAG, first)))
        page.reload()
        expect(page.get_by_text("30 images by graph_coverage")).to_be_visible()
        no_error_page(page)

    @pytest.mark.parametrize("theme", ["light"], indirect=True)
    def test_the_form_as_it_opens_chooses_by_the_recommended_method(self, page, app_dataset):
        expect(page.locator("[data-cy=looker]").first).to_be_visible()
        page.keyboard.press("`")
        page.keyboard.type("ELFS: Select coreset")
        page.keyboard.press("Enter")
        expect(page.get_by_text(re.compile("Recommended: graph_coverage. 12 of 120 images"))).to_be_visible()
        before = saved(app_dataset).get(TAG, {}).get("when")
        press(page, "Execute")
        expect(page.get_by_text(re.compile("Select coreset: running|Choosing a coreset: done")).first).to_be_visible()
        for _ in range(300):
            app_dataset.reload()
            if saved(app_dataset).get(TAG, {}).get("when") != before:
                break
            page.wait_for_timeout(200)
        found = saved(app_dataset)[TAG]
        assert (found["method"], found["budget"]) == ("graph_coverage", 12) and found["recommended"]
        no_error_page(page)
