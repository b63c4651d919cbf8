"""Wrote this folder once, in a checkout of version 0.1 (``PYTHONPATH=CHECKOUT python make.py FOLDER``): a whole small
run as that version left it in MongoDB and on disk, which every later version must be able to open."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from bson import json_util

IMAGES = 40


def main(folder):
    home = Path(tempfile.mkdtemp(prefix="elfs-stored-"))
    os.environ.update(
        FIFTYONE_DATABASE_NAME=f"elfs_stored_{os.getpid()}",
        FIFTYONE_DATABASE_VALIDATION="false",
        FIFTYONE_DO_NOT_TRACK="true",
        FIFTYONE_PLUGINS_DIR=str(home / "plugins"),
        FIFTYONE_SHOW_PROGRESS_BARS="false",
        ELFS_HOME=str(home / "elfs"),
    )
    from fiftyone.core import odm

    try:
        dataset = make_run(home)
        dump(dataset, folder / "documents.json", {str(home / "digits"): "{images}"})
        shutil.copytree(home / "elfs" / str(dataset._doc.id), folder / "files")
        (folder / "files" / "databases.json").unlink()
    finally:
        odm.drop_database()
        shutil.rmtree(home, ignore_errors=True)


def make_run(home):
    import fiftyone as fo
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    from elfs_plugin import runs
    from tests.few_steps import shorten

    shorten("elfs_plugin")
    (home / "digits").mkdir()
    data = load_digits()
    dataset = fo.Dataset("stored-run", persistent=True)
    for index, (image, digit) in enumerate(zip(data.images[:IMAGES], data.target)):
        path = home / "digits" / f"{index:04}_{digit}.png"
        Image.fromarray((image * 15).astype(np.uint8)).save(path)
        dataset.add_sample(fo.Sample(path, truth=str(digit)))
    # The search is the default; it and the later comparison are stored with the results.
    runs.run_elfs(dataset, num_clusters=4, budget=10, tag="coreset", view_name="Coreset")
    runs.select_coreset(dataset, budget=12, beta=0.1, tag="second", view_name="Second")
    runs.compare_coresets(dataset, ["tag:coreset", "tag:second"], seeds=1)
    return dataset


def dump(dataset, path, replaced):
    """Writes every document of the database, and the indexes of the samples, as extended JSON."""
    from fiftyone.core import odm

    database = odm.get_db_conn()
    samples = dataset._doc.sample_collection_name
    names = sorted(set(database.list_collection_names()) - {"config"})
    stored = {name: found for name in names if (found := list(database[name].find()))}
    indexes = [list(index["key"].items()) for index in database[samples].list_indexes()]
    text = json_util.dumps({"collections": stored, "samples": samples, "indexes": indexes}, indent=1)
    for found, name in replaced.items():
        text = text.replace(found, name)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
