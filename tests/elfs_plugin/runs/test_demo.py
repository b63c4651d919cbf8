"""The audit of the demo on a dataset that has changed."""

from types import SimpleNamespace

import numpy as np

from elfs_plugin import demo


def test_the_audit_is_of_the_digits_that_the_run_still_has(finished, capsys, monkeypatch):
    dataset, _ = finished
    paths, zones = dataset.values(["filepath", "elfs.zone"])
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
