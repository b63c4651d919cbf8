"""Every button there is, in every tab, pressed with its defaults in the real App on a finished run."""

import re
import time

import pytest
from playwright.sync_api import expect

from elfs_plugin import runs

PANEL = "[data-cy=panel-content-coreset_panel]"
SIGN = {
    "Tune": "Save as tag and view",
    "Recommended": "The labels are for",
    "Label": "No rounds of labelling yet",
    "Clusters": "Mean confidence",
    "Compare": "Side by side",
    "Budget": "Click a point",
    "Audit": "For checking only",
}
TABS = tuple(SIGN)
JOBS = {
    "Find β": "cancelled",
    "Find β on the images": "cancelled",
    "Same cuts, other seeds": "cancelled",
    "Measure again": "cancelled",
    "Compare": "completed",
    "Choose by graph_coverage": "completed",
    "Choose by k_medoids": "completed",
}
"""How the jobs end that buttons start: only short ones are waited for."""

BAD = re.compile("Operation failed|Traceback|Something went wrong|This cannot be shown|Error occurred|Error:")


@pytest.fixture(scope="module")
def finished_run(app_dataset, quick_clustering):
    truth = [str(index % 10) for index in range(len(app_dataset))]
    app_dataset.set_values("truth", truth)
    runs.run_elfs(app_dataset, num_clusters=4, budget=24, beta=0.2, tag="first", view_name="first")
    runs.compare_coresets(app_dataset, ["tag:first", "elfs@beta=0,budget=24"], seeds=1)
    runs.compare_methods(app_dataset, budgets=[12], methods=["k_center"], seeds=2)
    runs.budget_curve(app_dataset, budgets=[12, 30], repeats=1)
    yield
    app_dataset.reload()
    runs.delete_run(app_dataset)
    app_dataset.delete_sample_field("truth")


class Watch:
    """What goes wrong behind the page while buttons are pressed, and the files that it hands out."""

    def __init__(self, page):
        self.wrong, self.downloads = [], []
        page.on("response", self._answer)
        page.on("download", lambda download: self.downloads.append(download.suggested_filename))

    def _answer(self, response):
        if "/operators/" in response.url and response.status >= 500:
            self.wrong.append(f"{response.status} {(response.request.post_data or '')[:300]}")


def labels(page):
    """The panel's own buttons that can be pressed, by their text; an icon's name is an element of its own."""
    return page.eval_on_selector_all(
        f"{PANEL} button.MuiButton-root:enabled",
        "all => [...new Set(all.filter((b) => b.offsetParent).map((b) => b.querySelector('p')?.textContent.trim()))]",
    )


def button(page, text):
    icon_and_text = re.compile(rf"^([a-z_]+)?{re.escape(text)}$")
    return page.locator(f"{PANEL} button.MuiButton-root:enabled:visible").filter(has_text=icon_and_text).first


def look(page, watch):
    """All that a user can see of a result: the panel, the grid's count, notifications, a form, which button is chosen,
    a download."""
    chosen = page.locator(f"{PANEL} .MuiButton-contained").all_inner_texts()
    return page.evaluate("document.body.innerText"), chosen, len(watch.downloads)


@pytest.mark.parametrize("theme", ["dark"], indirect=True)
def test_every_button_with_its_defaults(page, app_dataset, finished_run):
    expect(page.locator(".elfs-plot")).to_be_visible()
    watch, pressed = Watch(page), []
    for tab in TABS:
        page.get_by_role("tab", name=tab, exact=True).click()
        expect(page.get_by_role("tab", name=tab, exact=True)).to_have_attribute("aria-selected", "true")
        expect(page.get_by_text(SIGN[tab]).first).to_be_visible()
        while todo := [text for text in labels(page) if text not in pressed]:
            pressed.append(todo[0])
            press(page, todo[0], watch, app_dataset)
            assert watch.wrong == [], f"{tab}: {todo[0]}"
            assert not BAD.search(page.evaluate("document.body.innerText")), f"{tab}: {todo[0]}"
    known = {
        "Delete run …",
        "Too hard",
        "Coreset",
        "Too easy",
        "Borderline",
        "All",
        "Embedding plot",
        "Find β",
        "Find β on the images",
        "Use the usual β",
        "Back to the saved cuts",
        "Save coreset",
        "Label …",
        "Export …",
        "Choose by graph_coverage",
        "Choose by k_medoids",
        "More settings …",
        "Chosen",
        "Only k_medoids",
        "Only ELFS",
        "Both",
        "Neither",
        "Choose the first batch …",
        "Other clusters …",
        "Compare",
        "Coreset by another method …",
        "Same cuts, other seeds",
        "Show in the grid",
        "Compare again …",
        "CSV",
        "Measure again",
        "Audit the saved coreset",
    }
    assert known - set(pressed) == set()
    app_dataset.reload()
    assert runs.load_results(app_dataset, "elfs")["comparison"]["names"][0].startswith("elfs@beta=")


def press(page, text, watch, dataset):
    """Presses a button and waits for what comes of it: something to be seen, and the end of its job."""
    before, started = look(page, watch), (runs.read_job(dataset, "elfs") or {}).get("started")
    button(page, text).click()
    deadline = time.monotonic() + 30
    while look(page, watch) == before:
        assert time.monotonic() < deadline, f"'{text}' showed nothing"
        page.wait_for_timeout(50)
    if text in JOBS:
        wait_for(page, lambda: runs.read_job(dataset, "elfs")["started"] != started)
        cancel = page.locator(f"{PANEL} button").filter(has_text=re.compile("Cancel$"))
        while runs.read_job(dataset, "elfs")["state"] == "running":
            if JOBS[text] == "cancelled" and cancel.count():
                runs.request_cancel(dataset, "elfs")  # as the button does, which may be gone by now
            page.wait_for_timeout(200)
        assert runs.read_job(dataset, "elfs")["state"] in ("completed", JOBS[text])
    if text == "Embedding plot" or (text.endswith("…") and text != "Label …"):
        expect(page.get_by_role("dialog")).to_be_visible()  # a form
    page.wait_for_timeout(300)
    expect(page.locator(f"{PANEL} .MuiLinearProgress-root")).to_have_count(0)  # the panel has seen the end of it
    while page.get_by_role("dialog").count():
        page.keyboard.press("Escape")
        page.wait_for_timeout(300)


def wait_for(page, condition):
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        page.wait_for_timeout(200)
