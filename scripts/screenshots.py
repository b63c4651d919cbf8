"""The pictures of the panel in docs/images: python -m scripts.screenshots [--only tune card] [--size 3840x2160].

It makes its own dataset of digits with a finished run, serves the App and takes the pictures in headless Chromium.
Nothing of it stays but the pictures.
"""

import argparse
import contextlib
import io
from pathlib import Path

from scripts.app import app_server, chromium, new_page, own_fiftyone

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
TABS = ("tune", "recommended", "label", "clusters", "compare", "budget", "audit")
NAMES = (*TABS, "card")
THEMES = ("dark", "light")
SIZE = (1640, 1000)
TALL = 2600
"""Height of the window of a picture of the panel alone: it shows the whole of it, and what stays empty is cut off."""

COLORS = 160
PANEL = "[data-cy=panel-content-coreset_panel]"
WAIT = 120_000
SETTLE = 4_000
"""Milliseconds."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(NAMES), choices=NAMES)
    parser.add_argument("--themes", nargs="+", default=list(THEMES), choices=THEMES)
    parser.add_argument("--size", default="x".join(map(str, SIZE)), help="of the App's window")
    parser.add_argument("--output", type=Path, default=FOLDER)
    options = parser.parse_args()
    size = tuple(int(part) for part in options.size.split("x"))
    options.output.mkdir(parents=True, exist_ok=True)
    with own_fiftyone("elfs-screenshots") as home:
        import fiftyone as fo

        from elfs_plugin.cli.demo import write_digits

        labels = write_digits(home / "digits")
        dataset = fo.Dataset("digits", persistent=True)
        # Plain strings: true labels as FiftyOne's own kind of label would be drawn on every image.
        dataset.add_samples([fo.Sample(path, digit=str(digit)) for path, digit in labels.items()], progress=False)
        print("Running the operators", flush=True)
        run_operators(dataset)
        enlarge(labels)
        with chromium() as browser, app_server(dataset, home / "server.log") as url:
            take(Camera(browser, url, size, options.output), options)


def enlarge(paths, side=64):
    """Enlarges images of 8 x 8 pixels in place, or the App shows them as a few squares; only after the run, whose
    result is that of the demo."""
    from PIL import Image

    for path in paths:
        Image.open(path).resize((side, side), Image.Resampling.BICUBIC).save(path)


def run_operators(dataset):
    """A finished run with a comparison, its stability, a budget curve and an audit."""
    import fiftyone.operators as foo

    def run(name, **params):
        foo.get_operator(f"@elfs/coreset/{name}")(dataset, **params)

    run("run_elfs", num_clusters=10, budget=0.1, encoder="pixels", seed=0, tag="elfs_coreset", view_name="elfs_coreset")
    run("select_coreset", method="auto", budget=179, tag="elfs_recommended", view_name="elfs_recommended")
    run("compare_methods", methods=["elfs", "ccs", "d2", "k_center", "moderate", "herding"], seeds=3)
    run("compare_coresets", members=["tag:elfs_coreset", "elfs@beta=0.0,budget=179", "elfs@beta=0.35,budget=179"])
    run("measure_stability")
    run("budget_curve")
    run("audit", truth_field="digit")
    classes = [str(digit) for digit in range(10)]
    for seed in range(2):
        setting_up = {} if seed else {"classes": classes, "labels_field": "label", "golden": 60}
        run("next_batch", budget=40, seed=seed, **setting_up)
        run("send_batch", to="in_app")
        answer(dataset, f"batch:v{seed}")
        run("take_back")
    run("next_batch", budget=40, seed=2)
    run("send_batch", to="in_app")


def answer(dataset, tag):
    """Labels the images with a tag, as annotators do."""
    import fiftyone as fo

    view = dataset.match_tags(tag)
    view.set_values("label", [fo.Classification(label=digit) for digit in view.values("digit")])


def take(camera, options):
    for theme in options.themes:
        camera.tabs([name for name in options.only if name in TABS], theme)
    for theme in options.themes if "card" in options.only else ():
        camera.card(theme)  # last: the panel remembers the image


class Camera:
    """Takes pictures of one server's App."""

    def __init__(self, browser, url, size, folder):
        self.browser, self.url, self.size, self.folder = browser, url, size, folder

    @contextlib.contextmanager
    def page(self, theme):
        page = new_page(self.browser, width=self.size[0], height=self.size[1], theme=theme)
        page.goto(self.url)
        page.get_by_role("tab", name="Tune", exact=True).click(timeout=WAIT)  # the server remembers the last one
        yield page
        page.context.close()

    def tabs(self, names, theme):
        """Each tab; *Tune* with the coreset beside it, the others alone."""
        with self.page(theme) as page:
            page.locator(".elfs-plot").wait_for(timeout=WAIT)
            page.locator("[data-zone=coreset]").click()
            for name in names:
                beside = name == "tune"
                page.set_viewport_size({"width": self.size[0], "height": self.size[1] if beside else TALL})
                page.get_by_role("tab", name=name.capitalize(), exact=True).click()
                settle(page)
                self.save(page, f"{name}-{theme}", whole=beside)

    def card(self, theme):
        """The image that is selected in the grid, and its card."""
        with self.page(theme) as page:
            page.locator(".elfs-plot").wait_for(timeout=WAIT)
            page.locator("[data-zone=hard]").click()
            settle(page)
            image = page.locator("[data-cy=looker]").nth(2)
            image.hover()
            image.locator("input[type=checkbox]").dispatch_event("click")
            page.get_by_text("Nearest neighbours").first.wait_for()
            page.get_by_text("Nearest neighbours").first.scroll_into_view_if_needed()
            settle(page)
            self.save(page, f"card-{theme}", whole=True)

    def save(self, page, name, whole=False):
        """Writes the window, or the panel without the empty end of it."""
        from PIL import Image

        content = page.screenshot() if whole else page.locator(PANEL).screenshot()
        image = Image.open(io.BytesIO(content)).convert("RGB")
        if not whole:
            image = without_empty_end(image)
        fewer_colors(image).save(self.folder / f"{name}.png", optimize=True)
        print(f"{name}.png, {image.width} x {image.height}", flush=True)


def fewer_colors(image):
    """The image with a palette, for a third of the bytes: half of it for the few coloured pixels among all the grey,
    which would otherwise be taken for their neighbours."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(image).reshape(-1, 3)
    is_colored = np.ptp(pixels, axis=1) > 24
    palette = []
    for part in (pixels[is_colored], pixels[~is_colored]):
        if len(part):
            palette += Image.fromarray(part[None]).quantize(COLORS // 2).getpalette()[: 3 * COLORS // 2]
    holder = Image.new("P", (1, 1))
    holder.putpalette(palette)
    return image.quantize(palette=holder, dither=Image.Dither.NONE)


def without_empty_end(image, margin=16):
    """The image without the rows at its end that are of one colour each."""
    import numpy as np

    pixels = np.asarray(image)[:, 16:-16]  # without the edges: a frame, a scroll bar
    busy = np.flatnonzero((pixels != pixels[:, :1]).any(axis=(1, 2)))
    end = min(int(busy[-1]) + 1 + margin, image.height) if len(busy) else image.height
    return image.crop((0, 0, image.width, end))


def settle(page):
    """Leaves the App the time to ask, to answer and to draw; it never tells when it has."""
    page.mouse.move(2, 2)
    page.wait_for_timeout(SETTLE)


if __name__ == "__main__":
    main()
