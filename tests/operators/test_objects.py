import os

import fiftyone as fo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError
from PIL import Image

from elfs_plugin import runs
from elfs_plugin.cli import main


@pytest.fixture
def scenes(tmp_path):
    """A dataset of 8 images with three objects each, and vectors on these."""
    rng = np.random.default_rng(0)
    source = fo.Dataset(f"scenes-{os.urandom(6).hex()}")
    for i in range(8):
        path = str(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)).save(path)
        labels = [
            fo.Detection(bounding_box=[0.3 * at, 0.2, 0.3, 0.4], vector=np.eye(4)[(i + at) % 3] + rng.random(4) / 5)
            for at in range(3)
        ]
        source.add_sample(fo.Sample(path, boxes=fo.Detections(detections=labels)))
    yield source
    for name in runs.companions_of(source):
        fo.delete_dataset(name)
    source.delete()


def test_from_detections_to_chosen_images(scenes, operator, execute, errors_of, form):
    shown = form("make_rows", scenes)
    assert shown["kind"].default == "objects" and "row_field" in shown and "row_margin" in shown
    assert "has no field 'other'" in str(errors_of("make_rows", scenes, row_field="other"))
    told = execute("make_rows", scenes, row_crop_side=32).result
    assert told["rows"] == 24 and told["bytes"] > 0
    companion = fo.load_dataset(told["dataset"])
    with pytest.raises(ExecutionError, match=f"are in the dataset '{told['dataset']}'"):
        execute("run_elfs", scenes.to_patches("boxes"))
    # A call from Python takes the objects in the place of the patches.
    patches = scenes.to_patches("boxes")
    summary = operator("run_elfs")(
        patches, num_clusters=3, budget=4, beta=0.1, source="field", embeddings_field="vector"
    )
    assert summary["samples"] == 24
    assert "neither 'image' nor 'object'" in errors_of("choose_images", companion, cost="filepath")["cost"]
    assert "on a dataset of objects" in errors_of("choose_images", scenes)["cost"]
    told = execute("choose_images", companion, budget=2, budget_unit="images", tag="two").result
    assert (told["images"], told["coreset"]) == (2, 6)
    scenes.reload()
    assert len(scenes.match_tags("two")) == 2 and scenes.list_saved_views() == ["two", "two images"]
    execute("delete_run", companion)
    assert scenes.list_saved_views() == [] and "two" not in scenes.count_sample_tags()


def test_the_command_line(scenes, capsys):
    sample = scenes.first()
    sample.boxes.detections.append(fo.Detection(bounding_box=[0.1, 0.1, 0, 0.5]))
    sample.save()
    assert main(["rows", scenes.name, "--field", "boxes", "--set", "margin=0", "--json"]) == 0
    name = f"{scenes.name}-elfs-objects"
    out, err = capsys.readouterr()
    assert f"24 objects in the dataset '{name}' (24 new, 0 removed)" in out and "pictures of them: 0.0 MB" in out
    assert "left out: 1 object: its box has no area" in err
    arguments = ["--clusters", "3", "--budget", "3", "--beta", "0.1", "--encoder", "pixels", "--no-app"]
    assert main(["run", name, *arguments]) == 0
    assert main(["choose-images", name, "--budget", "6", "--cost", "object"]) == 0
    assert "2 images with 6 objects under the tag 'elfs_object_coverage', cost 6" in capsys.readouterr().out
    assert len(scenes.match_tags("elfs_object_coverage")) == 2
    assert main(["choose-images", scenes.name, "--budget", "6"]) == 2
