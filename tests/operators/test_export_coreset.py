import csv
import os

import fiftyone as fo
import pytest
from fiftyone.operators.executor import ExecutionError

from elfs_plugin import runs


def test_csv(finished, execute, tmp_path):
    dataset, _ = finished
    path = tmp_path / "coreset.csv"
    result = execute("export_coreset", dataset, path=str(path))
    assert result.result == {"path": str(path), "exported": 20}
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["id"] for row in rows} == set(dataset.match_tags("coreset").values("id"))
    assert all(os.path.isabs(row["filepath"]) for row in rows)
    ranks = [int(row["rank"]) for row in rows]
    assert ranks == sorted(ranks)
    notes = [r["params"] for r in result.executor.to_json()["requests"] if r["operator_uri"] == "notify"]
    assert notes[0]["message"] == f"20 images exported to {path}"


def test_images(finished, execute, tmp_path):
    dataset, _ = finished
    execute("export_coreset", dataset, path=str(tmp_path / "images"), format="images")
    names = [os.path.basename(path) for path in dataset.match_tags("coreset").values("filepath")]
    assert sorted(os.listdir(tmp_path / "images")) == sorted(names)


def test_a_fiftyone_dataset(finished, execute, tmp_path):
    dataset, _ = finished
    execute("export_coreset", dataset, path=str(tmp_path / "data"), format="fiftyone")
    copy = fo.Dataset.from_dir(str(tmp_path / "data"), dataset_type=fo.types.FiftyOneDataset)
    assert sorted(copy.values("elfs.aum")) == sorted(dataset.match_tags("coreset").values("elfs.aum"))
    assert copy.count_values("elfs.zone") == {"coreset": 20}
    copy.delete()


def test_what_was_pruned(finished, execute, tmp_path):
    dataset, summary = finished
    result = execute("export_coreset", dataset, path=str(tmp_path / "hard.csv"), zone="hard").result
    assert result["exported"] == summary["hard"] == len(runs.zone_view(dataset, "elfs", "hard"))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "Path: path. Reason: Give an absolute path"),
        ({"path": "relative.csv"}, "Give an absolute path"),
        ({"path": "{folder}/list.csv", "format": "pdf"}, "Validation error. Path: format"),
        ({"path": "{folder}/list.csv", "zone": "middle"}, "Validation error. Path: zone"),
        ({"path": "{folder}/mine.csv"}, "mine.csv already exists. Choose another path, or allow overwriting"),
        ({"path": "{folder}", "format": "images"}, "already exists"),
    ],
)
def test_refusals(finished, execute, tmp_path, params, words):
    (tmp_path / "mine.csv").write_text("mine")
    params = {name: value.format(folder=tmp_path) for name, value in params.items()}
    with pytest.raises(ExecutionError, match=words):
        execute("export_coreset", finished[0], **params)
    assert os.listdir(tmp_path) == ["mine.csv"]
    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_overwriting_when_asked(finished, execute, tmp_path):
    (tmp_path / "mine.csv").write_text("mine")
    execute("export_coreset", finished[0], path=str(tmp_path / "mine.csv"), overwrite=True)
    assert len((tmp_path / "mine.csv").read_text().splitlines()) == 21
