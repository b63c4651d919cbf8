"""The panel in the real App: from an empty dataset to a saved coreset."""

import re

import fiftyone as fo
import pytest
from playwright.sync_api import expect

from elfs_plugin import runs

N = 120


def grid_count(page, count):
    expect(page.get_by_text(re.compile(rf"^{count} samples?$"))).to_be_visible()


def panel_value(page, name):
    """The number beside a metric's label, for example 24 of "too hard:"."""
    return page.get_by_text(f"{name}:", exact=True).locator("xpath=..")


def press(page, name):
    page.get_by_role("button").filter(has_text=name).first.click()


def move_slider(page, index, share):
    """Clicks slider number ``index`` of the panel at ``share`` of its length."""
    boxes = [slider.bounding_box() for slider in page.locator(".MuiSlider-root").all()]
    box = [b for b in boxes if b and b["x"] > page.viewport_size["width"] * 0.55][index]
    page.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)


def no_error_page(page):
    expect(page.get_by_text("Traceback")).to_have_count(0)
    expect(page.get_by_text("Something went wrong")).to_have_count(0)


@pytest.fixture
def finished_run(app_dataset):
    """A run on the dataset, the same for each theme; removed after the test."""
    runs.run_elfs(app_dataset, num_clusters=10, budget=24, beta=0.2, tag="first", view_name="first")
    yield
    app_dataset.reload()
    if runs.list_runs(app_dataset):
        runs.delete_run(app_dataset)


@pytest.mark.usefixtures("finished_run")
class TestReady:
    def test_tune_look_save_and_reload(self, page, app_dataset):
        grid_count(page, N)
        for name, value in {"scored": N, "failed": 0, "too hard": 24, "coreset": 24, "too easy": 72}.items():
            expect(panel_value(page, name)).to_contain_text(str(value))
        no_error_page(page)

        press(page, "Show hard")
        grid_count(page, 24)
        press(page, "Show easy")
        grid_count(page, 72)
        press(page, "Show coreset")
        grid_count(page, 24)

        # An exact number of images moves the budget, and the grid follows because it shows the coreset.
        images = page.get_by_label("Budget in images").or_(page.locator("input[type=number]").last)
        images.first.fill("30")
        images.first.press("Tab")
        grid_count(page, 30)
        expect(panel_value(page, "too easy")).to_contain_text("66")

        # β by the slider: half of the range; what is dropped as too hard is shown at once.
        press(page, "Show hard")
        grid_count(page, 24)
        move_slider(page, 0, 0.5)
        expect(panel_value(page, "too hard")).not_to_contain_text("24")
        hard = int(re.search(r"\d+", panel_value(page, "too hard").inner_text()).group())
        assert 50 <= hard <= 70
        grid_count(page, hard)

        press(page, "Save coreset")
        expect(page.get_by_text(re.compile("30 images tagged"))).to_be_visible()
        app_dataset.reload()
        assert app_dataset.count_values("elfs.zone") == {"hard": hard, "coreset": 30, "easy": N - 30 - hard}
        assert app_dataset.count_sample_tags() == {"first": 30}
        assert len(app_dataset.load_saved_view("first")) == 30

        page.reload()
        expect(panel_value(page, "coreset")).to_contain_text("30")
        expect(panel_value(page, "too hard")).to_contain_text(str(hard))
        press(page, "Show all")
        grid_count(page, N)
        no_error_page(page)

    def test_find_beta_shows_the_curve_and_moves_the_slider(self, page, app_dataset):
        expect(panel_value(page, "coreset")).to_contain_text("24")
        press(page, "Find β")
        expect(page.get_by_text(re.compile("β = .* held-out split"))).to_be_visible()
        app_dataset.reload()
        chosen = runs.load_results(app_dataset, "elfs")["beta"]["chosen"]
        expect(panel_value(page, "too hard")).to_contain_text(str(int(chosen * N + 1e-9)))
        no_error_page(page)


def test_empty_dataset_is_told_what_to_do_and_runs_from_the_panel(page, app_dataset):
    expect(page.get_by_text("No ELFS run on this dataset yet")).to_be_visible()
    press(page, "Select images to label …")
    expect(page.get_by_text("ELFS: Select images to label").first).to_be_visible()
    press(page, "Execute")
    expect(panel_value(page, "scored")).to_contain_text(str(N), timeout=120_000)
    no_error_page(page)
    app_dataset.reload()
    assert app_dataset.bounds("elfs.rank") == (0, N - 1)
    runs.delete_run(fo.load_dataset(app_dataset.name))
