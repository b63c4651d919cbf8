"""Three rounds of labelling through the real App, by clicking: python -m scripts.rounds_in_app [--output FOLDER].

It makes a dataset of 600 digits with a finished run and serves the App. In headless Chromium every step of each round
is a click in the tab *Label* and the form that it opens: choose, send to the App, take back, learn. The first images
of each round are labelled by clicking, in the opened image's *Annotate*; the others are given their labels as
annotators would: 5% are wrong, 10% are left out. Nothing of it stays but pictures, where a folder is given.
"""

import argparse
import re
import time
from pathlib import Path

from scripts.app import app_server, chromium, new_page, own_fiftyone

IMAGES, GOLDEN, BATCH, ROUNDS = 600, 60, 40, 3
BY_HAND = 2
"""Images of a round that are labelled by clicking."""

WRONG, LEFT_OUT = 0.05, 0.1
FIELD = "label"
CLASSES = [str(digit) for digit in range(10)]
WAIT = 120_000
SETTLE = 2_500
"""Milliseconds."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="a folder for a picture of each step")
    options = parser.parse_args()
    with own_fiftyone("elfs-rounds") as home:
        import fiftyone as fo

        from elfs_plugin import runs
        from elfs_plugin.cli.demo import write_digits

        labels = dict(list(write_digits(home / "digits").items())[:IMAGES])
        dataset = fo.Dataset("digits", persistent=True)
        dataset.add_samples([fo.Sample(path, digit=str(digit)) for path, digit in labels.items()], progress=False)
        runs.run_elfs(dataset, num_clusters=10, budget=60, encoder="pixels")
        with chromium() as browser, app_server(dataset, home / "server.log") as url:
            page = new_page(browser, width=1700, height=1400)
            page.set_default_timeout(WAIT)
            page.goto(url)
            page.locator(".elfs-plot").wait_for()
            page.get_by_role("tab", name="Label", exact=True).click()
            session = Session(page, dataset, options.output)
            for number in range(ROUNDS):
                session.round(number)
            print(f"{session.clicks} clicks", flush=True)


class Session:
    """What a user does in the App, and the pictures of it."""

    def __init__(self, page, dataset, folder):
        self.page, self.dataset, self.folder = page, dataset, folder
        self.clicks = 0

    def round(self, number):
        """One round, from the choice to what it has taught."""
        if number == 0:
            self.press("Choose the first batch …")
            self.fill("Images to label", BATCH)
            self.fill("Field of the labels", FIELD)
            self.fill("Classes", ", ".join(CLASSES))
            self.fill("Golden set", GOLDEN)
        else:
            self.press("Choose the next batch …")
            self.fill("Images to label", BATCH)
        self.execute("next_batch", number)
        self.press("Send …")
        self.execute("send_batch", number)
        self.label_by_clicking(number)
        answer(self.dataset, number)
        self.press("Look again")
        self.picture(f"{number}-labelled")
        self.press("Take back …")
        self.execute("take_back", number)
        self.press("Learn …")
        self.execute("learn_labels", number)
        print(f"round {number}: {told(self.dataset, number)}", flush=True)

    def press(self, name):
        """A button of the panel or of the form."""
        button = self.page.get_by_role("button").filter(has_text=re.compile(rf"^([a-z_]+)?{re.escape(name)}$"))
        button.first.click()
        self.clicks += 1

    def fill(self, label, value):
        """A field of the form."""
        field = self.form.locator(f"xpath=.//*[text()='{label}']/following::input[1]")
        field.fill(str(value))
        field.press("Tab")
        self.clicks += 1

    @property
    def form(self):
        return self.page.locator("[data-cy=operators-prompt-modal]")

    def execute(self, operator, number):
        """Runs the form, as it is, and waits for the end of its job."""
        self.page.wait_for_timeout(SETTLE)  # the form asks again after every value
        self.picture(f"{number}-{operator}-form")
        started = (runs_job(self.dataset) or {}).get("started")
        self.press("Execute")
        deadline = time.monotonic() + WAIT / 1000
        while (job := runs_job(self.dataset) or {}).get("started") == started or job["state"] == "running":
            if time.monotonic() > deadline:
                raise SystemExit(f"{operator} has not ended: {job}")
            self.page.wait_for_timeout(200)
        if job["state"] != "completed":
            raise SystemExit(f"{operator}: {job['message']}")
        self.form.wait_for(state="detached")
        self.page.wait_for_timeout(SETTLE)  # the panel follows
        self.picture(f"{number}-{operator}")

    def label_by_clicking(self, number):
        """The first images of the batch, in the order of the queue."""
        self.press("Label the next image")
        modal = self.page.locator("[data-cy=modal]")
        modal.wait_for()
        for place in range(BY_HAND):
            if place:
                modal.locator("[data-cy=panel-tab-coreset_panel]").click()
                modal.get_by_role("button").filter(has_text="Label the next image").click()
                rank = self.next_one()["elfs.rank"]
                modal.get_by_text(re.compile(rf"^{rank} \(")).wait_for()  # the card of the image that is opened
                modal.locator("[data-cy=panel-tab-fo-sample-modal-plugin]").click()
                self.clicks += 3
            self.page.wait_for_timeout(SETTLE)
            one = self.next_one()
            create = modal.locator("[data-cy=create-classification]")
            if create.is_visible():  # the App stays with the label that was edited last
                create.click()
                self.clicks += 1
            modal.locator("[data-cy=annotate-field-select]").get_by_text(FIELD).wait_for()
            modal.locator("[data-cy=root_label_container] [role=combobox]").click()
            self.page.get_by_role("option", name=one["digit"], exact=True).click()
            self.clicks += 2
            self.wait_for_label(one)
            self.picture(f"{number}-annotated-{place}")
        self.page.mouse.click(8, self.page.viewport_size["height"] - 20)
        modal.wait_for(state="detached")
        self.clicks += 1

    def next_one(self):
        """The sample whose turn it is."""
        from elfs_plugin import runs
        from elfs_plugin.runs.rounds import queue

        self.dataset.reload()
        return self.dataset[queue.next_waiting(runs.Run(self.dataset, "elfs"))]

    def wait_for_label(self, sample):
        """Until the App has kept the label of an image."""
        for _ in range(150):
            self.dataset.reload()
            kept = self.dataset[sample.id][FIELD]
            if kept is not None and kept.label == sample["digit"]:
                return
            self.page.wait_for_timeout(200)
        raise SystemExit(f"The App has not kept the label {sample['digit']} of {sample.id}, but {kept}.")

    def picture(self, name):
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=str(self.folder / f"{name}.png"))


def runs_job(dataset):
    from elfs_plugin import runs

    return runs.read_job(dataset, "elfs")


def answer(dataset, number):
    """Labels what of a batch has none yet as annotators do: some labels are wrong, some images are left out."""
    import fiftyone as fo
    import numpy as np

    from elfs_plugin import runs
    from elfs_plugin.runs.rounds import queue

    rng = np.random.default_rng(number)
    for sample in queue.waiting_view(runs.Run(dataset, "elfs"), number).iter_samples(autosave=True):
        if rng.random() < LEFT_OUT:
            continue
        wrong = rng.random() < WRONG
        digit = str((int(sample["digit"]) + rng.integers(1, 10)) % 10) if wrong else sample["digit"]
        sample[FIELD] = fo.Classification(label=digit)


def told(dataset, number):
    """What the round has brought, in words."""
    from elfs_plugin import runs
    from elfs_plugin.runs.rounds import state

    dataset.reload()
    one = state.round_of(runs.Run(dataset, "elfs").record, number)
    right = share_right(dataset.exists(FIELD))
    return f"{one.state}, {one.returned}, golden set {one.measured}, labels that are right {right:.1%}"


def share_right(view):
    pairs = list(zip(view.values(f"{FIELD}.label"), view.values("digit")))
    return sum(one == other for one, other in pairs) / len(pairs)


if __name__ == "__main__":
    main()
