"""The live histogram in the real App: what moves without the server, what the server hears, what stands in for it."""

import json
import re
import time

import pytest
from playwright.sync_api import expect

from elfs_plugin import runs

N = 120
HARD, BUDGET = 24, 24


class Calls:
    """The panel's calls of the server, but for its clock and for what the App tells every panel of itself."""

    def __init__(self, page):
        self.all = []
        page.on("request", self._note)

    def _note(self, request):
        if "/operators/execute" in request.url:
            params = json.loads(request.post_data or "{}").get("params", {})
            if not str(params.get("__method__")).startswith(("on_tick", "on_change_")):
                self.all.append(params)

    @property
    def commits(self):
        return [(p["hard"], p["budget"]) for p in self.all if p.get("__method__") == "on_commit"]


@pytest.fixture(scope="module")
def finished_run(app_dataset, quick_clustering):
    runs.run_elfs(app_dataset, num_clusters=10, budget=BUDGET, beta=HARD / N)
    yield
    app_dataset.reload()
    runs.delete_run(app_dataset)


@pytest.fixture
def cuts(finished_run, page):
    """The component at the run's cut, and the server has heard its first words."""
    expect(page.locator(".elfs-plot")).to_be_visible()
    expect(page.get_by_label("Budget in images")).to_be_visible()
    shows(page, HARD, BUDGET)
    calm(page, Calls(page))
    return page.locator(".elfs-cuts")


def shows(page, hard, budget):
    """Every number on the screen is that of the cut; waits for it."""
    for zone, count in {"hard": hard, "coreset": budget, "easy": N - hard - budget}.items():
        button = page.locator(f"[data-zone={zone}]")
        expect(button).to_have_attribute("data-count", str(count))
        expect(button).to_contain_text(f"{count} {100 * count / N:.1f}%")
    expect(page.locator("[data-cut=hard]")).to_have_attribute("aria-valuenow", str(hard))
    expect(page.locator("[data-cut=easy]")).to_have_attribute("aria-valuenow", str(hard + budget))
    expect(page.get_by_label("Budget in images")).to_have_value(str(budget))
    expect(page.get_by_label("β in percent", exact=True)).to_have_value(f"{100 * hard / N:.2f}".rstrip("0").rstrip("."))


def type_in(page, label, value):
    field = page.get_by_label(label, exact=True)
    field.fill(str(value))
    field.press("Enter")


def value_of(page, name):
    """The number beside a metric of the panel without the component."""
    return page.get_by_text(f"{name}:", exact=True).locator("xpath=..")


def grid_count(page, count):
    expect(page.get_by_text(re.compile(rf"^{count} samples?$"))).to_be_visible()


def grasp(page, part):
    """Presses the mouse on a handle or on the band. Returns the place."""
    box = page.locator(f"[data-cut={part}] .elfs-grip" if part != "band" else "[data-cut=band]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + (18 if part != "band" else 60)
    page.mouse.move(x, y)
    page.mouse.down()
    return x, y


def drag(page, part, distance):
    x, y = grasp(page, part)
    page.mouse.move(x + distance / 2, y)
    page.mouse.move(x + distance, y)
    page.mouse.up()


def settled(page, calls, count):
    """Waits until the server has heard of ``count`` cuts, and a little for one too many."""
    deadline = time.monotonic() + 30
    while len(calls.commits) < count and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    page.wait_for_timeout(400)
    assert len(calls.commits) == count


def heard(page, calls, cut):
    """Waits until this cut is the last that the server has heard of."""
    deadline = time.monotonic() + 30
    while calls.commits[-1:] != [cut] and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert calls.commits[-1] == cut


def calm(page, calls):
    """Waits until the server has heard nothing for a while."""
    before = -1
    while before != len(calls.commits):
        before = len(calls.commits)
        page.wait_for_timeout(800)


def test_a_drag_is_live_and_the_server_hears_of_it_once(cuts, page):
    page.locator("[data-zone=coreset]").click()
    grid_count(page, BUDGET)
    calls = Calls(page)
    page.locator("[data-axis=rank]").click()  # a place is a share of the images there, whatever the scores
    x, y = grasp(page, "hard")
    width = float(page.locator(".elfs-band").get_attribute("width")) * N / BUDGET
    renders = int(cuts.get_attribute("data-renders"))
    for hard in (25, 28, 32, 36):
        page.mouse.move(x + (hard - HARD) / N * width, y)
        shows(page, hard, BUDGET)
    assert int(cuts.get_attribute("data-renders")) >= renders + 4
    members = [
        [int(v) for v in c.split()]
        for c in page.eval_on_selector_all("[data-cluster]", "all => all.map((e) => e.dataset.cluster)")
    ]
    assert [sum(zone) for zone in zip(*members)] == [36, 24, 60]
    assert calls.all == []
    page.mouse.up()
    settled(page, calls, 1)
    assert calls.commits == [(36, 24)]

    # The band as a whole, then the easy handle with the budget free: the grid follows what is shown.
    drag(page, "band", -10 / N * width)
    shows(page, 26, 24)
    settled(page, calls, 2)  # what the answer brings with it may move the plot
    page.locator("[data-lock=budget]").click()
    drag(page, "easy", 6 / N * width)
    shows(page, 26, 30)
    settled(page, calls, 3)
    grid_count(page, 30)
    page.reload()
    shows(page, 26, 30)


@pytest.mark.parametrize("theme", ["dark"], indirect=True)
class TestOneTheme:
    def test_keys_typed_numbers_locks_and_limits(self, cuts, page):
        calls = Calls(page)
        hard, easy = page.locator("[data-cut=hard]"), page.locator("[data-cut=easy]")
        hard.focus()
        for key, expected in {
            "ArrowRight": 25,
            "ArrowUp": 26,
            "ArrowLeft": 25,
            "Shift+ArrowDown": 24,
            "PageUp": 30,
            "PageDown": 24,
            "End": 96,
            "Home": 0,
        }.items():
            hard.press(key)
            shows(page, expected, BUDGET)
        heard(page, calls, (0, BUDGET))
        page.keyboard.down("PageUp")  # held: what has been let go is kept after a moment
        shows(page, 6, BUDGET)
        page.keyboard.press("Escape")
        page.keyboard.up("PageUp")
        shows(page, 0, BUDGET)

        # Unlocked, a handle moves its own cut and stops at the other one.
        page.locator("[data-lock=budget]").click()
        hard.focus()
        hard.press("End")
        shows(page, 23, 1)
        assert (hard.get_attribute("aria-valuemin"), hard.get_attribute("aria-valuemax")) == ("0", "23")
        easy.focus()
        easy.press("Home")
        shows(page, 23, 1)
        easy.press("End")
        shows(page, 23, 97)
        easy.press("ArrowRight")
        shows(page, 23, 97)
        drag(page, "hard", 3000)
        shows(page, 119, 1)
        drag(page, "hard", -3000)
        shows(page, 0, 120)

        # β held: its cut stays under every hand, and the budget takes the room that is left.
        type_in(page, "Budget in percent", "50 %")
        page.get_by_label("β in percent", exact=True).fill("12,5")
        page.keyboard.press("Tab")
        shows(page, 15, 60)
        page.locator("[data-lock=beta]").click()
        expect(page.locator("[data-lock=budget]")).to_have_attribute("aria-pressed", "false")
        drag(page, "hard", 200)
        drag(page, "band", 200)
        shows(page, 15, 60)
        easy.focus()
        easy.press("Home")
        shows(page, 15, 1)
        type_in(page, "Budget in images", "1,000")
        shows(page, 15, 105)
        expect(page.get_by_text("The budget can be 1 to 105 beside this β.")).to_be_visible()

        # What is no number, and what has not been changed, is not told to the server.
        calm(page, calls)
        before = len(calls.commits)
        type_in(page, "Budget in images", "many")
        expect(page.get_by_text("Type a number.")).to_be_visible()
        page.get_by_label("β in percent", exact=True).focus()
        page.keyboard.press("Enter")
        shows(page, 15, 105)
        calm(page, calls)
        assert len(calls.commits) == before

    def test_an_overtaken_answer_does_not_move_the_handles_back(self, cuts, page):
        held = []

        def hold_the_first(route):
            params = json.loads(route.request.post_data or "{}").get("params", {})
            if params.get("__method__") == "on_commit" and not held:
                held.append(route)
            else:
                route.continue_()

        page.route("**/operators/execute", hold_the_first)
        calls = Calls(page)
        type_in(page, "Budget in images", 30)
        settled(page, calls, 1)
        type_in(page, "Budget in images", 40)
        settled(page, calls, 2)
        assert calls.commits == [(24, 30), (24, 40)]
        with page.expect_response("**/operators/execute"):
            held[0].continue_()
        page.wait_for_timeout(500)
        shows(page, HARD, 40)

    def test_what_was_typed_stays_and_what_does_not_fit_is_told_beside_it(self, cuts, page):
        type_in(page, "β in percent", "20.9")  # 25 of 120 are 20.83%
        expect(page.get_by_label("β in percent", exact=True)).to_have_value("20.9")
        expect(page.locator("[data-zone=hard]")).to_have_attribute("data-count", "25")
        type_in(page, "β in percent", "20")
        for label, text, note in (
            ("Budget in images", "99,999", "The budget can be 1 to 96 beside this β."),
            ("Budget in percent", "-5", "The budget can be 1 to 96 (80%) beside this β."),
        ):
            type_in(page, label, text)
            expect(page.get_by_text(note)).to_be_visible()
            expect(page.locator("[data-zone=hard]")).to_have_attribute("data-count", "24")  # β stays
        shows(page, HARD, 1)
        for text, hard in (("-5", 0), ("150", 119)):
            type_in(page, "β in percent", text)
            expect(page.get_by_text("β can be 0 to 99.17% beside this budget.")).to_be_visible()
            shows(page, hard, 1)
        type_in(page, "β in percent", "20")
        expect(page.get_by_text("beside this budget")).to_have_count(0)

    def test_a_release_shows_the_coreset_before_any_zone_was_asked_for(self, finished_run, page):
        expect(page.locator(".elfs-plot")).to_be_visible()
        drag(page, "hard", 40)
        expect(page.get_by_text(re.compile(rf"^{N} samples$"))).to_have_count(0)

    def test_a_second_tab_takes_nothing_from_the_first(self, cuts, page, context, app_url):
        other = context.new_page()
        other.goto(app_url)
        expect(other.locator(".elfs-plot")).to_be_visible()
        other.wait_for_timeout(6_000)  # longer than a page waits for the word of its component
        for tab in (page, other):
            expect(tab.locator(".elfs-plot")).to_be_visible()
            expect(tab.locator(".elfs-stand-in:visible")).to_have_count(0)
        other.close()

    def test_without_the_component_there_are_sliders(self, finished_run, context, app_url):
        context.route("**/js/elfs.js*", lambda route: route.fulfill(status=404, body=""))
        page = context.new_page()
        page.goto(app_url)
        images = page.locator("input[type=number]")
        images.fill("30")
        images.press("Tab")
        expect(value_of(page, "coreset")).to_contain_text("30")
        hard, easy = (
            int(re.search(r"\d+", value_of(page, f"too {end}").inner_text()).group()) for end in ("hard", "easy")
        )
        assert hard + 30 + easy == N
        expect(page.locator(".elfs-plot")).to_have_count(0)
        expect(page.get_by_text("Traceback")).to_have_count(0)
