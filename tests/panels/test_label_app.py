"""The tab *Label* in the real App, and one image that is really labelled in the App's own tab *Annotate*."""

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from elfs_plugin import runs
from elfs_plugin.runs.rounds import queue, state
from elfs_plugin.runs.rounds.backends.base import Sending
from elfs_plugin.runs.rounds.backends.in_app import InApp
from tests.panels.test_recommended_app import grid_count, no_error_page, press
from tests.rounds import CLASSES, LABELS, write_round

PANEL = "[data-cy=panel-content-coreset_panel]"
SIZE = 5


@pytest.fixture(scope="module")
def finished_run(app_dataset, quick_clustering):
    runs.run_elfs(app_dataset, num_clusters=10, budget=24, beta=0.2)
    yield
    app_dataset.reload()
    runs.delete_run(app_dataset)


@pytest.fixture
def batch(finished_run, app_dataset):
    """Ids of a round in the order of choice, the last of the dataset first, sent to the App as the job does."""
    ids = app_dataset.values("id")[: -SIZE - 1 : -1]
    part = state.SentPart("elfs_r0", SIZE, state="sent")
    guessed = {i: CLASSES[2] for i in ids[:3:2]}
    surely = {i: (name, 0.9) for i, name in guessed.items()}
    write_round(app_dataset, ids, sent={"to": "in_app"}, parts=[part], prelabels=surely)  # the fields are declared
    part.receipt = InApp().send(Sending(app_dataset, ids, part, LABELS, CLASSES, guessed), lambda *_: None)
    write_round(app_dataset, ids, sent={"to": "in_app"}, parts=[part])
    yield ids, part
    app_dataset.reload()
    app_dataset.delete_label_schemas(LABELS)
    app_dataset.delete_sample_field(LABELS)


def open_tab(page):
    page.get_by_role("tab", name="Label", exact=True).click()
    expect(page.get_by_role("tab", name="Label", exact=True)).to_have_attribute("aria-selected", "true")


def picture(page, name):
    if os.environ.get("ELFS_SCREENSHOTS"):
        page.wait_for_timeout(1500)
        page.screenshot(path=str(Path(os.environ["ELFS_SCREENSHOTS"]) / f"{name}.png"))


def wait_until(page, holds):
    """Waits until the database has what the App has written."""
    for _ in range(150):
        if holds():
            return
        page.wait_for_timeout(200)
    assert holds()


def counted(page, dataset, expected):
    wait_until(page, lambda: queue.counts(runs.Run(dataset, "elfs")) == expected)


@pytest.mark.parametrize("theme", ["light"], indirect=True)
def test_the_first_step_is_offered(page, finished_run, theme):
    expect(page.locator(".elfs-plot")).to_be_visible()
    open_tab(page)
    expect(page.get_by_text("No rounds of labelling yet")).to_be_visible()
    expect(page.get_by_role("button").filter(has_text="Choose the first batch …")).to_be_visible()
    picture(page, f"label-empty-{theme}")
    no_error_page(page)


def modal(page):
    return page.locator("[data-cy=modal]")


@pytest.mark.parametrize("theme", ["dark"], indirect=True)
def test_images_are_labelled_and_skipped_in_the_order_of_choice(page, app_dataset, batch, theme):
    ids, part = batch
    expect(page.locator(".elfs-plot")).to_be_visible()
    open_tab(page)
    expect(page.get_by_text(f"Round 0: {SIZE} images wait for a label.")).to_be_visible()
    picture(page, f"label-{theme}")

    press(page, "Label the next image")
    expect(modal(page).get_by_text(ids[0])).to_be_visible()
    modal(page).locator("[data-cy=annotate]").click()
    assert InApp().take(app_dataset, part, ids, {}).labels == {}
    annotate(page, CLASSES[1])
    wait_until(page, lambda: InApp().take(app_dataset, part, ids, {}).labels == {ids[0]: CLASSES[1]})
    picture(page, f"label-annotate-{theme}")

    modal(page).locator("[data-cy=panel-tab-coreset_panel]").click()
    open_tab(modal(page))
    expect(modal(page).get_by_text(f"{SIZE - 1} of {SIZE}")).to_be_visible()
    press(modal(page), "Label the next image")
    opened(page, app_dataset[ids[1]])
    modal(page).locator("[data-cy=panel-tab-fo-sample-modal-plugin]").click()
    annotate(page, CLASSES[0])
    taken = {ids[0]: CLASSES[1], ids[1]: CLASSES[0]}
    wait_until(page, lambda: InApp().take(app_dataset, part, ids, {}).labels == taken)
    modal(page).locator("[data-cy=panel-tab-coreset_panel]").click()
    press(modal(page), "Label the next image")
    opened(page, app_dataset[ids[2]])
    expect(modal(page).get_by_text(f"{CLASSES[2]} (90%)")).to_be_visible()
    picture(page, f"label-modal-{theme}")
    press(modal(page), "Skip")
    counted(page, app_dataset, queue.Counts(2, 1, SIZE - 3))
    app_dataset.reload()
    assert app_dataset[ids[2]]["elfs.status"] == "skipped"
    opened(page, app_dataset[ids[3]])
    close(page)

    press(page, "Look again")
    grid_count(page, SIZE - 3)
    expect(page.get_by_text(f"2 of {SIZE}").first).to_be_visible()
    expect(pictures(page)).to_have_count(SIZE - 3)
    press(page, "Changed pre-labels")
    grid_count(page, 1)
    press(page, "Skipped")
    grid_count(page, 1)
    press(page, "Label the next image")
    opened(page, app_dataset[ids[3]])
    close(page)
    expect(pictures(page)).to_have_count(SIZE - 3)
    pictures(page).first.hover()
    pictures(page).first.get_by_title("Click to select").click()
    expect(pictures(page).first.locator("input[type=checkbox]")).to_be_checked()
    press(page, "Skip")
    counted(page, app_dataset, queue.Counts(2, 2, SIZE - 4))
    expect(pictures(page)).to_have_count(SIZE - 4)
    press(page, "Skipped")
    grid_count(page, 2)
    expect(pictures(page)).to_have_count(2)
    press(page, "Batch")
    grid_count(page, SIZE)
    no_error_page(page)


def opened(page, sample):
    """Waits until the panel beside the image has the card of this one."""
    expect(modal(page).get_by_text(re.compile(rf"^{sample['elfs.rank']} \("))).to_be_visible()


def pictures(page):
    return page.locator("[data-cy=fo-grid] [data-cy=looker]")


def annotate(page, name):
    """Makes a label as an annotator does; it is kept by the App itself."""
    modal(page).locator("[data-cy=create-classification]").click()
    expect(modal(page).locator("[data-cy=annotate-field-select]").get_by_text(LABELS)).to_be_visible()
    modal(page).get_by_text(name, exact=True).last.click()


def close(page):
    """Closes the image that is open, by a click beside it."""
    page.mouse.click(8, page.viewport_size["height"] - 20)
    expect(modal(page)).to_have_count(0)


@pytest.mark.parametrize("theme", ["light"], indirect=True)
def test_rounds_with_their_curve(page, app_dataset, finished_run, theme):
    ids = app_dataset.values("id")
    for number, accuracy in enumerate((0.61, 0.7, 0.74)):
        measured = {"accuracy": accuracy, "standard_error": 0.03, "n": 40, "labels": 10 * (number + 1), "random": 0.6}
        given = {"state": "accepted", "sent": {"to": "in_app"}, "measured": measured}
        write_round(app_dataset, ids[10 * number : 10 * (number + 1)], number, **given)
    write_round(app_dataset, ids[30:40], 3, status="selected")
    expect(page.locator(".elfs-plot")).to_be_visible()
    open_tab(page)
    expect(page.get_by_text("Round 3 is chosen: 10 images.")).to_be_visible()
    expect(page.get_by_text("golden set ± standard error")).to_be_visible()
    expect(page.get_by_text("74.0 ± 3.0")).to_be_visible()
    expect(page.locator(PANEL).get_by_role("combobox").filter(has_text="Round 3")).to_be_visible()
    picture(page, f"label-{theme}")
    no_error_page(page)
