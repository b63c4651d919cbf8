"""``python -m elfs_plugin compare`` in this process."""

import csv
import json
import re

import numpy as np
import pytest

from elfs_plugin import beta_search, runs
from elfs_plugin.cli import main


@pytest.fixture(autouse=True)
def _quick(quick_clustering, monkeypatch):
    monkeypatch.setattr(beta_search, "FAST_STEPS", 30)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    truth = np.arange(90) % 3
    vectors = (3 * np.eye(6)[truth] + rng.normal(size=(90, 6))).astype(np.float16)
    np.save(tmp_path / "vectors.npy", vectors)
    np.save(tmp_path / "truth.npy", truth)
    return tmp_path


def test_a_file_of_embeddings(files, capsys):
    what = ["--clusters", "3", "--methods", "elfs,moderate", "--seeds", "3", "--budgets", "10%,30"]
    where = ["--truth", str(files / "truth.npy"), "--csv", str(files / "out.csv"), "--json"]
    assert main(["compare", str(files / "vectors.npy"), *what, *where]) == 0
    out = capsys.readouterr().out
    assert "| method | pseudo-labels, % | - Random | true labels, % | - Random |" in out
    assert "9 of 90 samples, 3 seed(s); by chance two seeds share 10.0%" in out
    found = json.loads(out.strip().splitlines()[-1])
    assert found["budgets"] == [9, 30] and len(found["sentences"]) == len(found["true_sentences"]) == 2
    with open(files / "out.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["budget"], row["method"]) for row in rows] == [
        (budget, method) for budget in ("9", "30") for method in ("elfs", "random", "moderate")
    ]
    assert all(0 <= float(row["true_accuracy"]) <= 1 for row in rows)


def test_without_truth_nothing_of_it_is_printed(files, capsys):
    assert main(["compare", str(files / "vectors.npy"), "--clusters", "3", "--methods", "random", "--seeds", "1"]) == 0
    assert "true labels, %" not in capsys.readouterr().out


def test_a_dataset_with_a_run(finished, capsys):
    dataset, _ = finished
    assert main(["compare", dataset.name, "--methods", "k_center", "--seeds", "2", "--budgets", "0.2"]) == 0
    assert "k_center" in capsys.readouterr().out
    kept = runs.load_results(dataset, "elfs")["methods"]
    assert kept["methods"] == ["random", "k_center"] and kept["made"]["settings"] == {"seeds": 2, "seed": 0}


def test_a_folder_is_run_first(digits, capsys, tmp_path):
    import fiftyone as fo

    for index in range(40):
        (tmp_path / f"{index}.png").write_bytes(open(digits[index], "rb").read())
    try:
        arguments = ["compare", str(tmp_path), "--methods", "k_center", "--seeds", "1", "--budgets", "10", "--clusters"]
        assert main([*arguments, "4"]) == 0
        dataset = fo.load_dataset(tmp_path.name)
        assert {"selection", "scores"} <= set(runs.load_record(dataset, "elfs").stages)
    finally:
        fo.delete_dataset(tmp_path.name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "neither a folder nor a FiftyOne dataset"),
        (["{files}/nothing.npy"], "cannot be read as a NumPy array"),
        (["{files}/truth.npy"], r"must hold \(N, D\) embeddings"),
        (["{files}/vectors.npy", "--truth", "{files}/vectors.npy"], r"must hold \(N,\) labels"),
        (["{files}/vectors.npy", "--budgets", "0.1,some"], "'some' is no budget"),
        (["{files}/vectors.npy", "--clusters", "3", "--methods", "best"], "Unknown selector 'best'"),
        (["{files}/vectors.npy", "--encoder", "pixels", "--embeddings", "x"], "not both"),
    ],
)
def test_refusals(files, capsys, arguments, words):
    assert main(["compare", *(text.format(files=files) for text in arguments)]) == 2
    assert re.search(words, capsys.readouterr().err)


def test_rows_that_are_no_numbers_are_named(files, capsys):
    vectors = np.load(files / "vectors.npy")
    vectors[[4, 7], 2] = np.nan
    np.save(files / "vectors.npy", vectors)
    assert main(["compare", str(files / "vectors.npy")]) == 2
    assert "2 rows of" in capsys.readouterr().err
