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
    assert (result.result["path"], result.result["exported"], result.result["missing"]) == (str(path), 20, 0)
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
    assert result["exported"] == summary["hard"] == len(runs.zone_view(runs.Run(dataset, "elfs"), "hard"))


def test_a_coreset_by_its_tag(scored, execute, operator, errors_of, tmp_path):
    execute("select_coreset", scored, method="random", budget=6, budget_unit="images", tag="by_chance")
    ids = scored.match_tags("by_chance").values("id")
    scored.delete_samples(ids[:1])
    summary = operator("export_coreset")(scored, path=str(tmp_path / "list.csv"), tag="by_chance")
    assert (summary["exported"], summary["deleted"], summary["what"]) == (5, 1, "coreset")
    with open(tmp_path / "list.csv", newline="", encoding="utf-8") as file:
        assert {row["id"] for row in csv.DictReader(file)} == set(ids[1:])
    for tag in ("nobody", "mine"):
        scored.limit(1).tag_samples("mine")  # not the run's
        errors = errors_of("export_coreset", scored, path=str(tmp_path / "other.csv"), tag=tag)
        assert errors["tag"] == f"The run 'elfs' has saved nothing under the tag '{tag}' (tags: by_chance)."
    with pytest.raises(ExecutionError, match="zone='hard' would have no effect: the tag says what is exported"):
        operator("export_coreset")(scored, path=str(tmp_path / "other.csv"), tag="by_chance", zone="hard")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "Path: path. Reason: Give an absolute path"),
        ({"path": "relative.csv"}, "Give an absolute path"),
        ({"path": "{folder}/list.csv", "format": "pdf"}, "Validation error. Path: format"),
        ({"path": "{folder}/list.csv", "zone": "middle"}, "Validation error. Path: zone"),
        (
            {"path": "{folder}/mine.csv"},
            "Path: path. Reason: .*mine.csv already exists and is not a list as ELFS",
        ),
        (
            {"path": "{folder}/mine.csv", "overwrite": True},
            "mine.csv already exists and is not a list as ELFS",
        ),
        ({"path": "{folder}", "format": "images"}, "already exists and was not exported by ELFS"),
        ({"path": "{folder}", "format": "fiftyone", "overwrite": True}, "already exists and was not exported by ELFS"),
        ({"path": "{folder}/mine.csv/below"}, "Path: path. Reason: .* is a file, not a folder"),
        ({"path": "{folder}/" + "n" * 300}, "Path: path. Reason: The name n+… is too long"),
        ({"path": "/proc/list.csv"}, "Path: path. Reason: /proc/list.csv is not on a disk"),
    ],
)
def test_refusals(finished, execute, tmp_path, params, words):
    (tmp_path / "mine.csv").write_text("mine")
    params = {name: value.format(folder=tmp_path) if name == "path" else value for name, value in params.items()}
    with pytest.raises(ExecutionError, match=words):
        execute("export_coreset", finished[0], **params)
    assert os.listdir(tmp_path) == ["mine.csv"]
    assert (tmp_path / "mine.csv").read_text() == "mine"


def test_the_datasets_own_folder_is_refused_in_the_form(finished, errors_of):
    dataset, _ = finished
    folder = os.path.dirname(dataset.first().filepath)
    before = os.listdir(folder)
    for path in (folder, os.path.dirname(folder), os.path.join(folder, "out")):
        assert list(errors_of("export_coreset", dataset, path=path, format="images", overwrite=True)) == ["path"]
    assert os.listdir(folder) == before


def test_an_earlier_list_is_replaced_when_asked(finished, execute, tmp_path):
    path = str(tmp_path / "list.csv")
    execute("export_coreset", finished[0], path=path)
    with pytest.raises(ExecutionError, match="list.csv already exists. Choose another path, or allow overwriting"):
        execute("export_coreset", finished[0], path=path)
    assert execute("export_coreset", finished[0], path=path, zone="easy", overwrite=True).result["exported"] != 20


def test_the_notification_says_what_is_missing(dataset, operator, execute, tmp_path):
    operator("run_elfs")(dataset, num_clusters=5, budget=20, beta=0)
    (tmp_path / "gone").mkdir()
    chosen = runs.zone_view(runs.Run(dataset, "elfs"), "coreset").first()
    chosen.filepath = str(tmp_path / "gone" / "gone.png")
    chosen.save()
    result = execute("export_coreset", dataset, path=str(tmp_path / "list.csv"))
    assert (result.result["exported"], result.result["missing"]) == (19, 1)
    notes = [r["params"] for r in result.executor.to_json()["requests"] if r["operator_uri"] == "notify"]
    assert notes[0]["variant"] == "warning"
    assert notes[0]["message"].endswith(
        f"1 could not be read and were left out: {tmp_path}/list.missing.csv lists them"
    )
