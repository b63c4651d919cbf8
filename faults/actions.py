"""What is done in a forked process: operators, preparations, questions. All values are plain JSON.

Every function takes ``(root, begin, …)``: the world's folder, and what to call when the work itself begins.
"""

import csv
import importlib
import tempfile
import threading
import time
from pathlib import Path

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np

from .moments import Writes
from .nursery import PLUGIN, replace

DATASET = "faults"
CLASSES = 6


def operate(root, begin, calls, stop=None, again=False, temporary_limit=None):
    """Calls operators, one thread each when they are several.

    Args:
        calls: [{"operator", "params", "wait": seconds before it}]
        stop: see :class:`~.moments.Writes`
        again: whether a call that fails is made once more, as soon as MongoDB answers
        temporary_limit: bytes above which decoded images are kept in a temporary file

    Returns:
        {"outcomes": [[{"summary"} or {"error", "kind"}, …] of each], "seconds", "writes": names}
    """
    tempfile.tempdir = None
    if temporary_limit is not None:
        replace(importlib.import_module(f"{PLUGIN}.encoders.images"), "MEMORY_LIMIT_BYTES", temporary_limit)
    writes = Writes(root, stop)
    dataset = fo.load_dataset(DATASET)
    outcomes = [[] for _ in calls]

    def work(place, call):
        time.sleep(call.get("wait", 0))
        outcomes[place].append(_call(dataset, call))
        if again and "error" in outcomes[place][0]:
            _until_answering()
            outcomes[place].append(_call(dataset, call))

    start = time.monotonic()
    writes.begin()
    begin()
    if len(calls) == 1:
        work(0, calls[0])
    else:
        threads = [threading.Thread(target=work, args=item) for item in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    writes.end()
    return {"outcomes": outcomes, "seconds": time.monotonic() - start, "writes": writes.names}


def _call(dataset, call):
    try:
        uri = f"@elfs/coreset/{call['operator']}"
        if foo.operator_exists(uri):
            work = foo.get_operator(uri)
        else:  # what Python and the command line have alone
            work = getattr(importlib.import_module(f"{PLUGIN}.runs"), call["operator"])
        summary = work(dataset, **call["params"])
        return {"summary": summary if isinstance(summary, dict) else repr(summary)}
    except Exception as error:
        return {"error": str(error), "kind": type(error).__name__}


def _until_answering(seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            fo.list_datasets()
            return
        except Exception:  # whatever a driver raises while its server is away
            time.sleep(0.2)


def ask(root, begin, keys):
    """What the plugin says of its runs.

    Returns:
        {"runs": keys, key: {"record", "findings", "broken", "job", "results"}}
    """
    runs = importlib.import_module(f"{PLUGIN}.runs")
    dataset = fo.load_dataset(DATASET)
    begin()
    found = {"runs": runs.list_runs(dataset)}
    for key in keys:
        run = runs.Run(dataset, key)
        health, record, job = runs.check_run(run), run.record, run.job
        findings = [{"code": f.code, "text": f.text, "operator": f.operator} for f in health.findings]
        found[key] = {
            "record": record and _plain(vars(record)),
            "findings": findings,
            "broken": health.broken,
            "job": job and job["state"],
            "results": _plain(run.results),
        }
    return found


def _plain(value):
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def make_dataset(root, begin, images):
    """A dataset of small pictures, with things on it that are the user's own."""
    begin()
    folder = Path(root) / "images"
    paths, classes = pictures(folder, images)
    dataset = fo.Dataset(DATASET, persistent=True)
    samples = []
    for index, (path, label) in enumerate(zip(paths, classes)):
        tags = ["mine"] if index % 3 == 0 else []
        truth = fo.Classification(label=f"class {label}")
        human = fo.Classification(label=f"class {label}") if index % 40 == 7 else None
        samples.append(fo.Sample(filepath=str(path), tags=tags, truth=truth, human=human, number=index))
    dataset.add_samples(samples)
    dataset.create_index("number")
    dataset.info["owner"] = "somebody"
    dataset.save()
    dataset.save_view("Mine", dataset.match(fo.ViewField("number") > 10), description="a view of the user's")
    space = fo.Space(children=[fo.Panel(type="Samples", pinned=True)])
    dataset.save_workspace("Mine", space)
    config = dataset.init_run()
    config.method = "somebody_else"
    dataset.register_run("mine", config)
    store = importlib.import_module("fiftyone.operators.store").ExecutionStore.create(
        "mine", dataset_id=dataset._doc.id
    )
    store.set("key", {"value": 1})
    out = Path(root) / "out"
    (out / "notes.txt").write_text("the user's own notes")
    (out / "list.csv.partial").write_text("the user's own file")
    (out / "folder.partial").symlink_to("notes.txt")
    return {"id": str(dataset._doc.id)}


def pictures(folder, count, start=0, seed=0):
    """Writes PNG files of noisy patterns, :data:`CLASSES` kinds of them. Returns their paths and kinds."""
    from PIL import Image

    patterns = np.random.default_rng(0).integers(0, 255, (CLASSES, 8, 8, 3))
    rng = np.random.default_rng([seed, start])
    paths, kinds = [], rng.integers(CLASSES, size=count)
    for index, kind in enumerate(kinds):
        noise = rng.normal(0, 40 + 160 * rng.random(), (8, 8, 3))
        pixels = np.clip(patterns[kind] + noise, 0, 255).astype(np.uint8)
        paths.append(folder / f"{start + index:05}.png")
        Image.fromarray(pixels).resize((16, 16)).save(paths[-1])
    return paths, kinds.tolist()


def change_samples(root, begin, added, deleted):
    """Adds images to the dataset, and deletes every n-th of the others until ``deleted`` are gone."""
    begin()
    dataset = fo.load_dataset(DATASET)
    ids = dataset.values("id")
    dataset.delete_samples(ids[:: max(len(ids) // deleted, 1)][:deleted])
    paths, kinds = pictures(Path(root) / "images", added, start=len(ids))
    samples = [
        fo.Sample(filepath=str(path), truth=fo.Classification(label=f"class {kind}"), number=-1)
        for path, kind in zip(paths, kinds)
    ]
    dataset.add_samples(samples)
    return {"samples": len(dataset)}


def fill_in(root, begin, folder, skipped, waiting):
    """Labels the images of the lists in a folder; of each the first ``skipped`` are refused, the last ``waiting`` left
    empty."""
    begin()
    dataset = fo.load_dataset(DATASET)
    known = dict(zip(*dataset.values(["id", "truth.label"])))
    for path in sorted(Path(folder).glob("*.csv")):
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        for place, row in enumerate(rows[: len(rows) - waiting]):
            row["label"] = "skip" if place < skipped else known[row["id"]]
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return {}
