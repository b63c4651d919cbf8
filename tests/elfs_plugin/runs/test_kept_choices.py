from types import SimpleNamespace

import numpy as np
import pytest

from elfs_plugin.runs import kept_choices, record
from elfs_plugin.runs.run import Run
from elfs_plugin.selectors import Selection

IDS = [f"{i:024x}" for i in (5, 3, 9, 1)]
"""Not in order: as bytes the rows are 3, 1, 0, 2."""


def selection(indices, represented_by):
    by = None if represented_by is None else np.array(represented_by)
    return Selection(np.array(indices), np.zeros(len(IDS)), [], represented_by=by)


@pytest.fixture
def kept(tmp_path):
    """Chosen are the samples 2 and 0, labelled is 1; 2 stands for itself and for 3, 0 for none but itself."""

    def make(represented_by=(0, 1, 2, 2), locked=(1,)):
        token = kept_choices.save(tmp_path, np.array(IDS), selection([2, 0], represented_by), locked)
        run = SimpleNamespace(folder=tmp_path, record=record.RunRecord("elfs", saved={"mine": {"choice": token}}))
        return kept_choices.load(run, "mine")

    return make


def test_order_and_reasons(kept):
    choice = kept()
    assert choice.chosen == [IDS[2], IDS[0]]
    assert [choice.reason(i) for i in IDS] == [
        "number 2 of 2: it stands for 0 other images",
        "labelled already when this was chosen",
        "number 1 of 2: it stands for 1 other images",
        f"not chosen: {IDS[2]} stands for it",
    ]
    assert choice.reason(f"{4:024x}") is None and choice.reason(f"{99:024x}") is None


def test_who_stands_for_a_sample_and_for_whom_else(kept):
    choice = kept()
    assert choice.group(IDS[3]) == choice.group(IDS[2]) == [IDS[2], IDS[3]]
    assert choice.group(IDS[0]) == [IDS[0]] and choice.group("no id") == []


def test_labelled_images_stand_for_others_too_and_some_for_none(kept):
    choice = kept((0, 1, 1, -1))
    assert choice.reason(IDS[2]) == "number 1 of 2: it stands for 0 other images"
    assert choice.reason(IDS[3]) == "not chosen: no chosen image is near it" and choice.group(IDS[3]) == [IDS[3]]
    assert kept((1, 1, 2, 1)).reason(IDS[3]) == f"not chosen: the labelled image {IDS[1]} stands for it"


def test_a_method_that_knows_of_no_such_thing(kept):
    choice = kept(None)
    assert choice.reason(IDS[2]) == "number 1 of 2" and choice.reason(IDS[3]) == "not chosen"
    assert choice.group(IDS[3]) == [IDS[3]]


def test_what_is_not_there_or_damaged_is_none(tmp_path):
    token = kept_choices.save(tmp_path, np.array(IDS), selection([0], None))
    saved = {"mine": {"choice": token}, "older": {}, "gone": {"choice": "0" * 12}, "odd": {"choice": "../../x"}}
    run = SimpleNamespace(folder=tmp_path, record=record.RunRecord("elfs", saved=saved))
    assert kept_choices.load(run, "mine").chosen == [IDS[0]]
    assert [kept_choices.load(run, tag) for tag in ("older", "gone", "odd", "unknown")] == [None] * 4
    next(tmp_path.glob("choice-*")).write_bytes(b"PK damaged")
    assert kept_choices.load(run, "mine") is None


def test_only_the_files_of_the_record_stay(tmp_path):
    one, two = (kept_choices.save(tmp_path, np.array(IDS), selection([i], None)) for i in (0, 1))
    assert kept_choices.save(tmp_path, np.array(IDS), selection([1], None)) == two != one
    (tmp_path / "choice-of mine.npz").write_bytes(b"")
    kept_choices.remove_others(tmp_path, [two, None])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["choice-of mine.npz", f"choice-{two}.npz"])


def test_a_disk_that_refuses_costs_the_reasons_alone(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert kept_choices.save(tmp_path / "file", np.array(IDS), selection([0], None)) is None


def test_a_run_without_a_record_has_none(dataset):
    assert kept_choices.load(Run(dataset, "elfs"), "mine") is None
