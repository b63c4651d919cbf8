"""A run that version 0.1 left in MongoDB and on disk opens as if it had been made today, see the script beside it."""

import shutil
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest
from bson import json_util
from fiftyone.core import odm

from elfs_plugin import runs
from elfs_plugin.runs import folder, jobs, record

STORED = Path(__file__).resolve().parents[2] / "data" / "stored_run_0_1"


@pytest.fixture
def stored(digits):
    """The dataset of the stored run, whose images are the first 40 digits."""
    text = (STORED / "documents.json").read_text(encoding="utf-8")
    written = json_util.loads(text.replace("{images}", str(digits[0].parent)))
    database = odm.get_db_conn()
    for name, documents in written["collections"].items():
        database[name].insert_many(documents)
    for keys in written["indexes"]:
        database[written["samples"]].create_index([tuple(key) for key in keys])
    dataset = fo.load_dataset("stored-run")
    shutil.copytree(STORED / "files", folder.home() / str(dataset._doc.id))
    yield dataset
    if not dataset.deleted:
        folder.remove_dataset_folder(dataset)
        dataset.delete()


def test_the_record_and_the_results(stored):
    assert runs.list_runs(stored) == ["elfs"]
    run = runs.load_record(stored, "elfs")
    assert set(run.stages) == set(record.STAGE_ORDER)
    assert run.stages["pseudo_labels"]["clusters"] == 4 and run.stages["scores"]["scored"] == 40
    assert (run.tags, run.saved_views) == (["coreset", "second"], ["Coreset", "Second"])
    assert (run.saved["second"]["budget"], run.saved["second"]["hard"]) == (12, 4)
    results = runs.load_results(stored, "elfs")
    assert sum(results["histogram"]["counts"]) == 40 and results["failures"] == {}
    assert results["beta"]["chosen"] == run.stages["beta"]["chosen"]
    assert results["comparison"]["names"] == ["tag:coreset", "tag:second"]
    assert np.diag(results["comparison"]["overlap"]).tolist() == [10, 12]
    assert jobs.read_job(stored, "elfs")["state"] == "completed"


def test_it_fits_its_dataset(stored):
    assert runs.check_run(runs.Run(stored, "elfs")) == runs.RunHealth("elfs", [], False)


def test_the_ranking_in_its_file_is_that_of_the_samples(stored):
    for _ in range(2):  # from the file, then from the samples
        ids, scores, labels, names = runs.read_ranking(runs.Run(stored, "elfs"))
        rows = stored.select(ids.tolist(), ordered=True)
        assert rows.values("elfs.rank") == list(range(40))
        np.testing.assert_allclose(rows.values("elfs.aum"), scores)
        assert rows.values("elfs.pseudo_label.label") == [names[label] for label in labels]
        (record.run_folder(stored, "elfs") / "ranking.npz").unlink()


def test_the_card_of_an_image_with_its_neighbours(stored):
    hardest = runs.rank_view(runs.Run(stored, "elfs"), 0, 1).first()
    card = runs.card(runs.Run(stored, "elfs"), hardest.id, 4, 12)
    assert (card["status"], card["rank"], card["zone"]) == ("scored", 0, "hard")
    assert card["scores"]["aum"] == pytest.approx(hardest["elfs.aum"])
    assert len(card["neighbors"]) == 5 and card["note"] is None


def test_its_views_and_zones(stored):
    assert [len(stored.load_saved_view(name)) for name in ("Coreset", "Second")] == [10, 12]
    zones = {zone: len(runs.zone_view(runs.Run(stored, "elfs"), zone)) for zone in ("hard", "coreset", "easy")}
    assert zones == {"hard": 4, "coreset": 12, "easy": 24} == stored.count_values("elfs.zone")


def test_another_coreset_is_selected(stored):
    runs.select_coreset(stored, budget=5, beta=0.2, tag="coreset", view_name="Coreset")
    assert set(runs.rank_view(runs.Run(stored, "elfs"), 8, 13).values("id")) == set(
        stored.match_tags("coreset").values("id")
    )
    assert len(stored.load_saved_view("Coreset")) == 5
    assert runs.check_run(runs.Run(stored, "elfs")).codes == []


def test_new_images_take_part(stored, digits):
    gone = runs.rank_view(runs.Run(stored, "elfs"), 20, 21).first()
    stored.delete_samples([gone.id])
    stored.add_samples([fo.Sample(str(path)) for path in digits[40:43]])
    assert set(runs.check_run(runs.Run(stored, "elfs")).codes) == {"samples_deleted", "samples_added"}
    summary = runs.update_run(stored)
    assert (summary["samples"], summary["added"], summary["deleted"]) == (42, 3, 1)
    assert sorted(stored.values("elfs.rank")) == list(range(42))
    assert not {"samples_deleted", "samples_added"} & set(runs.check_run(runs.Run(stored, "elfs")).codes)


def test_nothing_of_it_stays_when_it_is_deleted(stored):
    database = odm.get_db_conn()
    collections = ("fs.files", "fs.chunks", "runs", "views")
    before = [database[name].count_documents({}) for name in collections]
    runs.delete_run(stored)
    assert runs.list_runs(stored) == [] == stored.list_saved_views() == stored.list_workspaces()
    assert stored.count_sample_tags() == {}
    assert {"elfs", "elfs_embeddings"} & set(stored.get_field_schema()) == set()
    assert not [name for name in stored.list_indexes() if name.startswith("elfs")]
    assert not (folder.home() / str(stored._doc.id)).exists()
    assert not runs.has_traces(stored, "elfs") and jobs.store(stored).list_keys() == []
    after = [database[name].count_documents({}) for name in collections]
    assert [old - new for old, new in zip(before, after)] == [1, 1, 1, 2]
    assert stored.values("truth") == [Path(path).stem[-1] for path in stored.values("filepath")]
