"""Objects that were chosen, as patches in the real App."""

import re

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from elfs_plugin import runs


@pytest.fixture(scope="module")
def app_dataset(request, tmp_path_factory):
    """A persistent dataset of images whose objects have results, and a view of four chosen ones."""
    folder, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    dataset = fo.Dataset("elfs-app-objects", persistent=True, overwrite=True)
    for i in range(6):
        path = str(folder / f"{i}.png")
        Image.fromarray(rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)).save(path)
        boxes = [
            fo.Detection(label="thing", bounding_box=[x, 0.3, 0.3, 0.4], vector=np.eye(3)[i % 3] + rng.random(3) / 5)
            for x in (0.1, 0.6)
        ]
        dataset.add_sample(fo.Sample(path, boxes=fo.Detections(detections=boxes)))
    companion = fo.load_dataset(runs.make_rows(dataset, "objects")["dataset"])
    runs.run_elfs(companion, num_clusters=3, budget=4, beta=0, encoder=None, embeddings_field="vector", tag="chosen")
    runs.write_rows_back(companion, options={"images": True})
    yield dataset
    fo.delete_dataset(companion.name)
    fo.delete_dataset(dataset.name)


@pytest.mark.parametrize("theme", ["dark"], indirect=True)
def test_the_chosen_objects_are_patches_with_their_results(page, app_url):
    page.goto(f"{app_url}?view=chosen")
    expect(page.get_by_text(re.compile("^4 patches$"))).to_be_visible(timeout=90_000)
    for text in ("Traceback", "Something went wrong", "This cannot be shown", "Error occurred"):
        expect(page.get_by_text(text)).to_have_count(0)
