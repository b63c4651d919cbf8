"""The demo: its end from outside, its errors, and its audit on a dataset that has changed."""

import os
import signal
from types import SimpleNamespace

import fiftyone as fo
import numpy as np
import pytest

from elfs_plugin.cli import demo
from elfs_plugin.cli.commands import INTERRUPTED, main
from elfs_plugin.runs import jobs

pytestmark = pytest.mark.usefixtures("quick_clustering")


@pytest.fixture
def small_demo(digits, monkeypatch):
    """The demo on a few digits; the name of its dataset."""
    name = f"elfs-demo-{os.getpid()}"
    monkeypatch.setattr(demo, "DATASET", name)
    monkeypatch.setattr(demo, "PARAMETERS", {**demo.PARAMETERS, "num_clusters": 3})
    monkeypatch.setattr(demo, "write_digits", lambda folder: {str(path): int(path.stem[-1]) for path in digits[:40]})
    yield name
    if fo.dataset_exists(name):
        fo.delete_dataset(name)


def test_the_demo_from_the_digits_to_the_audit(small_demo, capsys):
    assert main(["demo", "--no-app"]) == 0
    said = capsys.readouterr().out
    assert f"Dataset {small_demo}, run elfs: 40 images scored, 0 failed" in said
    assert "3 clusters, β = " in said and "4 coreset" in said
    assert f"tag 'elfs_coreset', saved view 'elfs_coreset' of the dataset '{small_demo}'" in said
    assert "Audit (true labels, used here only;" in said and "the same trained on random images:" in said
    dataset = fo.load_dataset(small_demo)
    assert len(dataset.match_tags("elfs_coreset")) == len(dataset.load_saved_view("elfs_coreset")) == 4
    assert main(["demo", "--no-app"]) == 0
    assert "finished in an earlier run were reused" in capsys.readouterr().out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_demo_as_it_ends_a_run(small_demo, plugin, monkeypatch, capsys, number, code):
    class Ends(plugin("elfs_plugin.progress").TerminalBar):
        def __call__(self, event):
            if event.stage.startswith("Clustering"):
                os.kill(os.getpid(), number)

    monkeypatch.setattr(plugin("elfs_plugin.progress"), "TerminalBar", Ends)
    assert main(["demo", "--no-app"]) == code
    assert INTERRUPTED in capsys.readouterr().err
    dataset = fo.load_dataset(small_demo)
    assert "interrupted" in jobs.read_job(dataset, "elfs")["message"] and not jobs.store(dataset).has("lock_elfs")


def test_what_the_operator_refuses_is_one_line(small_demo, monkeypatch, capsys):
    monkeypatch.setattr(demo, "PARAMETERS", {**demo.PARAMETERS, "num_clusters": 1000})
    assert main(["demo", "--no-app"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("elfs_plugin: 40 samples cannot fill 1,000 clusters.") and said.count("\n") == 1


def test_the_audit_is_of_the_digits_that_the_run_still_has(finished, capsys, monkeypatch):
    dataset, _ = finished
    paths, zones = dataset.values(["filepath", "elfs.zone"])
    dataset = dataset.clone()
    dataset.match({"elfs.zone": "coreset"}).tag_samples("elfs_coreset")
    labels = {path: index % 10 for index, path in enumerate(paths)}
    given = []

    def audit(vectors, clusters, coreset, truth):
        given.append((vectors.shape, len(clusters), coreset.tolist(), truth))
        return SimpleNamespace(coreset=np.ones(2), random=np.ones(2), budget=len(coreset), pseudo_label_accuracy=1.0)

    monkeypatch.setattr(demo, "audit", audit)
    demo.print_audit(dataset, labels)
    assert given[-1][0] == (80, 192) and len(given[-1][2]) == 20 and given[-1][3] == [i % 10 for i in range(80)]
    assert "the audit is of" not in capsys.readouterr().out
    foreign = labels.pop(paths[7])  # an image that somebody added
    demo.print_audit(dataset.skip(2), {"gone.png": foreign, **labels})
    rows = [row for row in range(2, 80) if row != 7]
    assert given[-1][:2] == ((77, 192), 77) and given[-1][3] == [row % 10 for row in rows]
    assert given[-1][2] == [place for place, row in enumerate(rows) if zones[row] == "coreset"]
    assert "the audit is of the 77 digits that the run still has" in capsys.readouterr().out
    dataset.delete()
