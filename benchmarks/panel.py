"""The panel in the real App: python -m benchmarks.panel [--samples 50000 500000] [--repeats 3] [--save].

It measures and does not judge: the targets stand beside the values. Everything runs on this machine, the browser too,
which draws without a GPU; so the load average is kept as well.
"""

import argparse
import json
import os
import statistics
import time
from dataclasses import dataclass

from scripts.app import app_server, chromium, new_page, own_fiftyone

from .panel_dataset import CLUSTERS, make_dataset, synthetic_scores, write_images
from .results import Column, Table, started

DRAG_SECONDS = 3
DRAGS = 4
"""On each opened page, by turns to the right and to the left."""
SWING = 60
"""Pixels to each side."""

RANKS = 1_000_000
BYTES = 1024


@dataclass(frozen=True)
class Measure:
    """A line of the table: its ``unit``, how many ``digits`` of it count, and its target in words."""

    title: str
    unit: str
    target: str
    digits: int = 2
    larger_is_better: bool = False


MEASURES = {
    "frames": Measure("renders while a handle is dragged", "/s", "at least 30", 0, True),
    "moves": Measure("moves of the pointer that the browser took meanwhile", "/s", "", 0, True),
    "idle": Measure("frames this browser draws while nothing moves", "/s", "", 0, True),
    "cpu": Measure("processor time of the page's main thread per render", "ms", "", 1),
    "script": Measure("of it in scripts", "ms", "", 1),
    "alone": Measure("of it all when the grid is hidden", "ms", "", 1),
    "gap": Measure("longest pause between two renders of a drag", "ms", "", 0),
    "requests": Measure("requests caused by a drag", "", "0", 0),
    "polls": Measure("the panel's clock during a drag, requests", "", "", 0),
    "answer": Measure("release to the server's answer, which sets the view", "s", ""),
    "thumbnail": Measure("release to the first new thumbnail", "s", "under 1.5"),
    "cut_bytes": Measure("largest operator request after a cut", "KB", "under 8", 1),
    "all_bytes": Measure("all requests after a cut together", "KB", "", 1),
    "cold_open": Measure("page opened to histogram, first after a server start", "s", ""),
    "warm_open": Measure("page opened to histogram, later", "s", ""),
    "cold_panel": Measure("panel loads to histogram, first after a server start", "s", ""),
    "warm_panel": Measure("panel loads to histogram, later", "s", ""),
    "cold_load": Measure("server time of on_load, first after a server start", "s", "under 1"),
    "warm_load": Measure("server time of on_load, later", "s", "under 1"),
}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[50_000, 500_000])
    parser.add_argument("--repeats", type=int, default=3, help="starts of the App's server (3)")
    options, recording = started("panel", parser, arguments)
    before = os.getloadavg()
    values = {}
    with own_fiftyone("elfs-bench-panel") as home:
        import fiftyone as fo

        paths = write_images(home / "images")
        for n in options.samples:
            start = time.monotonic()
            dataset = make_dataset(f"elfs-bench-{n}", paths, n)
            print(f"{n:,} samples made in {time.monotonic() - start:.0f} s", flush=True)
            values[n] = measure_app(dataset, options.repeats, home / "server.log")
            fo.delete_dataset(dataset.name)
    after = os.getloadavg()
    note = f"Load average {before[0]:.1f} before, {after[0]:.1f} after, on {os.cpu_count()} cores."
    recording.finish({"app": report(values), "recompute": recompute_report(recompute(RANKS))}, note)


def report(values):
    """The table of ``{samples: {measure: values}}``."""
    table = Table(["median (worst)", "target", *(Column(f"{n:,} samples", None) for n in values)])
    for name, measure in MEASURES.items():
        title = f"{measure.title}, {measure.unit}" if measure.unit else measure.title
        table.add(title, measure.target, *(spread(found.get(name, []), measure) for found in values.values()))
    return table


def recompute_report(seconds):
    """The table of the seconds of a cut's numbers."""
    table = Table(["ranks", "clusters", Column("the numbers of a cut, median (worst), ms", None), "target"])
    table.add(RANKS, CLUSTERS, spread([1000 * one for one in seconds], Measure("", "ms", "", 1)), "under 50")
    return table


def spread(values, measure):
    """Median and worst as a cell, or None for no values."""
    if not values:
        return None
    worst = min(values) if measure.larger_is_better else max(values)
    cell = {"median": statistics.median(values), "worst": worst}
    return {name: round(value, measure.digits or None) for name, value in cell.items()}


def recompute(n, repeats=21):
    """Seconds of each time that the numbers of another cut of n ranks were computed."""
    import numpy as np

    from elfs_plugin.pruning.cuts import cluster_counts, score_at

    scores, labels = synthetic_scores(n)
    cuts = np.random.default_rng([0, 5]).integers(n // 2, size=(repeats, 2)).tolist()
    seconds = []
    for hard, budget in cuts:
        start = time.perf_counter()
        cluster_counts(labels, hard, budget + 1, clusters=CLUSTERS)
        for rank in (hard, hard + budget):
            score_at(scores, rank)
        seconds.append(time.perf_counter() - start)
    return seconds


def measure_app(dataset, repeats, log):
    """``{measure: values}`` over some starts of the server, each with a first and a later page."""
    found = {name: [] for name in MEASURES}
    for _ in range(repeats):
        with chromium() as browser, app_server(dataset, log) as url:
            for kind in ("cold", "warm"):
                page = new_page(browser, width=1700, height=1200)
                traffic = Traffic(page)
                for name, value in open_panel(page, url, traffic).items():
                    found[f"{kind}_{name}"].append(value)
                if kind == "warm":
                    for values in drags(page, traffic):
                        for name, value in values.items():
                            found[name].append(value)
                page.context.close()
    return found


class Traffic:
    """The requests of a page that are not for files, in order."""

    def __init__(self, page):
        self.requests = []
        page.on("request", self._note)
        self.session = page.context.new_cdp_session(page)
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})
        # All samples share a few hundred files; in a real dataset each thumbnail is another one.
        self.session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def _note(self, request):
        if request.method == "POST":
            self.requests.append(request)

    def main_thread(self):
        """Processor time of the page's main thread so far in ms, all and in scripts. Other programs do not count."""
        metrics = {metric["name"]: metric["value"] for metric in self.session.send("Performance.getMetrics")["metrics"]}
        return 1000 * metrics["TaskDuration"], 1000 * metrics["ScriptDuration"]

    def wait_until_quiet(self, page, seconds=2.0, most=30.0):
        """Waits until nothing has been asked for so long."""
        end = time.monotonic() + most
        known, since = len(self.requests), time.monotonic()
        while time.monotonic() - since < seconds and time.monotonic() < end:
            page.wait_for_timeout(100)
            if len(self.requests) != known:
                known, since = len(self.requests), time.monotonic()

    def of_panel(self, method):
        """Those that called a method of the panel."""
        return [request for request in self.requests if panel_method(request.post_data) == method]


def panel_method(body):
    """The panel's method that the body of a request calls, or None."""
    try:
        parameters = json.loads(body or "{}").get("params")
    except ValueError:
        return None
    return parameters.get("__method__") if isinstance(parameters, dict) else None


def body_bytes(body):
    return len((body or "").encode())


def open_panel(page, url, traffic):
    """Seconds until the histogram is drawn, from the navigation and from the panel's first request, and of on_load."""
    page.goto(url)
    now = "performance.timeOrigin + performance.now()"
    drawn = page.wait_for_function(f"document.querySelector('.elfs-plot .elfs-cut') ? {now} : 0", polling="raf")
    drawn = drawn.json_value()
    origin = page.evaluate("performance.timeOrigin")
    timing = finished(page, traffic, "on_load")
    return {
        "open": (drawn - origin) / 1000,
        "panel": (drawn - timing["startTime"]) / 1000,
        "load": (timing["responseStart"] - timing["requestStart"]) / 1000,
    }


def finished(page, traffic, method):
    """The timing of the panel's last request of that method, once it is answered."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = traffic.of_panel(method)
        if found and found[-1].timing["responseEnd"] > 0:
            return found[-1].timing
        page.wait_for_timeout(20)
    raise SystemExit(f"The App did not answer {method} within a minute.")


# Times of the renders, of the release, and of the first thumbnail that was not there before it.
_WATCH = """() => {
  const root = document.querySelector(".elfs-cuts");
  const now = () => performance.timeOrigin + performance.now();
  const seen = window.elfsSeen = { renders: [], released: 0, thumbnail: 0 };
  new MutationObserver(() => seen.renders.push(now())).observe(root, { attributes: true,
    attributeFilter: ["data-renders"] });
  addEventListener("pointerup", () => {
    const old = new WeakSet(document.querySelectorAll("[data-cy=looker]"));
    seen.released = now();
    const look = () => {
      const all = [...document.querySelectorAll("[data-cy=looker]:has([canvas-loaded=true])")];
      if (all.some((looker) => !old.has(looker))) seen.thumbnail = now();
      else requestAnimationFrame(look);
    };
    look();
  }, { capture: true, once: true });
}"""

_IDLE = """() => new Promise((resolve) => {
  const start = performance.now();
  let frames = 0;
  const count = () => {
    frames += 1;
    const passed = performance.now() - start;
    if (passed > 1000) resolve((1000 * frames) / passed);
    else requestAnimationFrame(count);
  };
  requestAnimationFrame(count);
})"""


def drags(page, traffic):
    """Yields the measures of each drag of a handle, with the coreset in the grid."""
    page.wait_for_timeout(2000)
    if not page.locator("[data-zone=coreset]").count():
        page.reload()  # on a busy machine the panel may have taken its sliders
    page.locator("[data-zone=coreset]").click()
    page.locator("[data-cy=looker]:has([canvas-loaded=true])").first.wait_for()
    traffic.wait_until_quiet(page)
    idle = page.evaluate(_IDLE)
    for number in range(DRAGS):
        traffic.wait_until_quiet(page)
        page.evaluate(_WATCH)
        first, before = len(traffic.requests), traffic.main_thread()
        moves = _drag(page, DRAG_SECONDS, -SWING if number % 2 else SWING)
        during, busy = traffic.requests[first:], traffic.main_thread()
        released = len(traffic.requests)
        page.mouse.up()
        page.wait_for_function("window.elfsSeen.thumbnail > 0", polling="raf")
        answer = finished(page, traffic, "on_commit")
        page.wait_for_timeout(2000)  # what follows the cut, such as the placements of buttons
        seen = page.evaluate("window.elfsSeen")
        values = of_drag(seen, during, traffic.requests[released:], answer)
        cpu, script = ((end - start) / max(len(seen["renders"]), 1) for end, start in zip(busy, before))
        yield {**values, "moves": moves / DRAG_SECONDS, "idle": idle, "cpu": cpu, "script": script}
    yield {"alone": _without_grid(page, traffic)}


def _without_grid(page, traffic):
    """Processor time of the main thread per render in ms, when there are no thumbnails to be painted beside it."""
    page.add_style_tag(content="[data-cy=panel-content-Samples] { display: none !important; }")
    traffic.wait_until_quiet(page)
    page.evaluate(_WATCH)
    before = traffic.main_thread()[0]
    _drag(page, DRAG_SECONDS, SWING)
    busy = traffic.main_thread()[0] - before
    page.mouse.up()
    return busy / max(len(page.evaluate("window.elfsSeen.renders")), 1)


def _drag(page, seconds, end):
    """Moves the hard handle to and fro as fast as the browser takes it, to ``end`` pixels from where it was, and holds
    it. Returns the number of moves."""
    box = page.locator("[data-cut=hard] .elfs-grip").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    stop, step = time.monotonic() + seconds, 0
    while time.monotonic() < stop:
        step += 1
        page.mouse.move(x + abs((3 * step + SWING) % (4 * SWING) - 2 * SWING) - SWING, y)
    page.mouse.move(x + end, y)
    return step


def of_drag(seen, during, after, answer):
    """The measures of one drag.

    Args:
        seen: ``renders`` (times in ms), ``released``, ``thumbnail``
        during, after: requests before and after the release, with ``post_data`` and ``url``
        answer: the timing of the request that told the server of the cut
    """
    renders = [at for at in seen["renders"] if at <= seen["released"]]
    gaps = [b - a for a, b in zip(renders, renders[1:])]
    clock = [request for request in during if panel_method(request.post_data) == "on_tick"]
    operators = [body_bytes(request.post_data) for request in after if "/operators/execute" in request.url]
    return {
        "frames": 1000 * len(gaps) / sum(gaps) if gaps else 0.0,
        "gap": max(gaps, default=0.0),
        "requests": len(during) - len(clock),
        "polls": len(clock),
        "answer": (answer["startTime"] + answer["responseEnd"] - seen["released"]) / 1000,
        "thumbnail": (seen["thumbnail"] - seen["released"]) / 1000,
        "cut_bytes": max(operators, default=0) / BYTES,
        "all_bytes": sum(body_bytes(request.post_data) for request in after) / BYTES,
    }


if __name__ == "__main__":
    main()
