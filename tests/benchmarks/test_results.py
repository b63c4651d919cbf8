"""Results as files: what is kept of a table, and what of the run."""

import argparse
import json

import numpy as np
import pytest

from benchmarks import results
from benchmarks.results import Column, Result, Table, as_json, command, mean_sd, percent, read, read_all, started


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path / "benchmarks" / "results")
    return tmp_path / "benchmarks" / "results"


def example():
    table = Table(
        [Column("method"), Column("images"), percent("accuracy"), Column("- Random", signed=True), Column("β")]
    )
    table.add("`elfs`", np.int64(1200), mean_sd([0.5, 0.6]), np.float32(0.04), (0.1, 0.2))
    table.add("random", 3, None, -0.04, [])
    return table


def test_a_table_keeps_the_digits_that_it_shows():
    table = example()
    assert table.rows[0] == ["`elfs`", 1200, {"mean": 55.0, "sd": 5.0}, 0.0, [0.1, 0.2]]
    assert table.markdown().splitlines() == [
        "| method | images | accuracy, % | - Random | β |",
        "|---|---|---|---|---|",
        "| `elfs` | 1,200 | 55.0 ± 5.0 | +0.0 | 0.1 0.2 |",
        "| random | 3 | - | +0.0 |  |",
    ]
    assert Table([Column("", None)]).add({"median": 2.25, "worst": 1000}) == "| 2.25 (1,000) |"
    assert Table([Column("")]).add(float("nan")) == "| - |"
    with pytest.raises(ValueError, match="1 cells for 5 columns"):
        table.add("few")


def test_no_values_have_no_mean():
    assert mean_sd([]) is None
    assert mean_sd([1, 3], 1) == {"mean": 2, "sd": 1}


def test_a_row_is_a_line_of_the_file():
    lines = as_json(
        {"tables": {"a": {"rows": [[1, {"sd": 2}], [3, None]], "columns": []}}, "dirty": False}
    ).splitlines()
    assert lines[:2] == ["{", '  "dirty": false,']
    assert lines[5:9] == ['      "rows": [', '        [1, {"sd": 2}],', "        [3, null]", "      ]"]


def test_what_is_written_is_read_again(folder):
    result = Result(["python"], "abc1234", True, "2026-01-02", "a machine", {"main": example()}, "A note.", True)
    assert result.write("x-digits") == folder / "x-digits.json"
    assert read_all() == {"x-digits": result}
    keys = list(json.loads((folder / "x-digits.json").read_text()))
    assert keys == sorted(keys)


def test_a_run_is_kept_only_when_that_is_asked_for(folder, monkeypatch, capsys):
    monkeypatch.setattr(results, "git_state", lambda: ("abc1234", False))
    monkeypatch.setattr(results, "machine", lambda: "a machine; and its software")
    for arguments, names in (([], set()), (["--save"], {"speed"}), (["--save", "digits"], {"speed", "speed-digits"})):
        options, recording = started("speed", argparse.ArgumentParser(), arguments)
        recording.finish({"main": example()}, note="A note.")
        assert set(read_all()) == names
    kept = read(folder / "speed-digits.json")
    assert (kept.command, kept.commit, kept.dirty) == (["python -m benchmarks.speed --save digits"], "abc1234", False)
    assert (kept.machine, kept.note, kept.transcribed) == ("a machine; and its software", "A note.", False)
    assert kept.tables == {"main": example()}
    assert example().markdown() in capsys.readouterr().out


def test_a_command_names_no_place_of_this_machine(tmp_path):
    (tmp_path / "there.npy").touch()
    found = command(
        "x",
        [
            "--embeddings",
            str(tmp_path / "there.npy"),
            "--folder",
            str(tmp_path),
            "--out",
            str(tmp_path / "not-yet"),
            "--labels",
            "per-class:10",
            "--rate",
            "0.1",
        ],
    )
    assert found == (
        "python -m benchmarks.x --embeddings FILE --folder FOLDER --out FILE --labels per-class:10 --rate 0.1"
    )


def test_without_git_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert results.git_state() == (None, None)
