"""``python -m elfs_plugin compare`` in this process."""

import csv
import json
import os
import re
import stat

import numpy as np
import pytest

from elfs_plugin import runs
from elfs_plugin.cli import compare as cli_compare
from elfs_plugin.cli.commands import main
from tests.few_steps import candidate_steps, shorten


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    shorten("elfs_plugin", monkeypatch.setattr)
    candidate_steps(8, replace=monkeypatch.setattr)


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


def test_a_dataset_with_a_run(plugin, new_dataset, capsys):
    dataset = new_dataset(40)
    runs.run_elfs(dataset, num_clusters=4, budget=8, beta=0.1)
    assert main(["compare", dataset.name, "--methods", "k_center", "--seeds", "2", "--budgets", "0.2"]) == 0
    assert "k_center" in capsys.readouterr().out
    kept = runs.load_results(dataset, "elfs")["methods"]
    assert kept["methods"] == ["random", "k_center"] and kept["made"]["settings"] == {"seeds": 2, "seed": 0}


def test_a_folder_is_run_first(plugin, digits, capsys, tmp_path):
    import fiftyone as fo

    for index in range(40):
        (tmp_path / f"{index}.png").write_bytes(open(digits[index], "rb").read())
    try:
        arguments = ["compare", str(tmp_path), "--methods", "k_center", "--seeds", "1", "--budgets", "10", "--clusters"]
        assert main([*arguments, "4", "--precut", "30"]) == 0
        dataset = fo.load_dataset(tmp_path.name)
        assert runs.load_record(dataset, "elfs").cut_away == 10
        assert {"selection", "scores"} <= set(runs.load_record(dataset, "elfs").stages)
    finally:
        fo.delete_dataset(tmp_path.name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{files}/nothing.npy"], r"cannot be read as a NumPy array \(No such file"),
        (["{files}/pipe.npy"], r"cannot be read as a NumPy array \(a folder, a pipe or a device"),
        (["{files}/plain.npy"], "does not begin as a file of numpy.save"),
        (["{files}/empty.npy"], "cannot be read as a NumPy array"),
        (["{files}/cut.npy"], "cannot be read as a NumPy array"),
        (["{files}/objects.npy"], "cannot be read as a NumPy array"),
        (["{files}/archive.npy"], "is an archive of arrays"),
        (["{files}/texts.npy"], r"must hold \(N, D\) numbers; it holds <U3"),
        (["{files}/complex.npy"], r"must hold \(N, D\) numbers; it holds complex"),
        (["{files}/no_rows.npy"], r"must hold \(N, D\) numbers|cannot be read as a NumPy array"),
        (["{files}/huge.npy"], "90 rows of .* NaN or infinite"),
        (["{files}/vectors.npy", "--truth", "{files}/odd_truth.npy"], "a number or a text for each sample"),
        (["{files}/vectors.npy", "--truth", "{files}/nothing.npy"], "cannot be read"),
        (["{files}/vectors.npy", "--name", "x"], "--name is for images"),
        (["{files}/vectors.npy", "--methods", ""], "Unknown selector ''"),
        (["{files}/vectors.npy", "--methods", "elfs,,random"], "Unknown selector ''"),
        (["{files}/vectors.npy", "--budgets", ""], "'' is no budget"),
        (["{files}/vectors.npy", "--device", "cuda:99"], "'cuda:99' cannot be used"),
        (["{files}/vectors.npy", "--csv", "{files}"], "is a folder"),
        (["{files}/vectors.npy", "--csv", ""], "is empty"),
        (["{files}/vectors.npy", "--csv", "{files}/none/out.csv"], "cannot be written .*No such file"),
        (["{files}/vectors.npy", "--csv", "{files}/truth.npy/out.csv"], "cannot be written .*Not a directory"),
        (["{files}/vectors.npy", "--csv", "{files}/" + 300 * "x"], "cannot be written .*too long"),
        (["{files}/vectors.npy", "--csv", "{files}/truth.npy"], "exists and is no table of this command"),
        (["{files}/vectors.npy", "--csv", "{files}/link.csv"], "exists and is no table of this command"),
        (["{files}/truth.npy"], r"must hold \(N, D\) embeddings"),
        (["{files}/vectors.npy", "--truth", "{files}/vectors.npy"], r"must hold \(N,\) labels"),
        (["{files}/vectors.npy", "--budgets", "0.1,some"], "'some' is no budget"),
        (["{files}/vectors.npy", "--clusters", "3", "--methods", "best"], "Unknown selector 'best'"),
        (["{files}/vectors.npy", "--encoder", "pixels", "--embeddings", "x"], "not both"),
        (["{files}/vectors.npy", "--similarity-index", "x"], "--similarity-index is for images"),
    ],
)
def test_refusals(files, capsys, arguments, words):
    np.save(files / "objects.npy", np.array([{}, 1], dtype=object))
    np.save(files / "texts.npy", np.array([["cat", "dog"]] * 90))
    np.save(files / "complex.npy", np.ones((90, 3), dtype=complex))
    np.save(files / "no_rows.npy", np.ones((0, 3)))
    np.save(files / "huge.npy", np.full((90, 3), 1e300))
    np.save(files / "odd_truth.npy", np.full(90, np.nan))
    np.savez(files / "archive.npz", a=np.ones(3))
    (files / "archive.npz").rename(files / "archive.npy")
    (files / "empty.npy").write_bytes(b"")
    (files / "plain.npy").write_text("1 2 3")
    os.mkfifo(files / "pipe.npy")
    (files / "cut.npy").write_bytes((files / "vectors.npy").read_bytes()[:-100])
    (files / "link.csv").symlink_to(files / "truth.npy")
    before = {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()}
    assert main(["compare", *(text.format(files=files) for text in arguments)]) == 2
    err = capsys.readouterr().err
    assert re.search(words, err) and len(err.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in files.iterdir() if path.is_file()} == before


def test_an_encoder_is_for_images(plugin, files, capsys):
    assert main(["compare", str(files / "vectors.npy"), "--encoder", "pixels"]) == 2
    assert "--encoder is for images" in capsys.readouterr().err


def test_a_source_that_is_nowhere(plugin, capsys):
    assert main(["compare", "nowhere"]) == 2
    assert "neither a folder nor a FiftyOne dataset" in capsys.readouterr().err


def compare(files, *more):
    what = ["--clusters", "3", "--methods", "random", "--seeds", "1", "--budgets", "9"]
    return main(["compare", str(files / "vectors.npy"), *what, *map(str, more)])


def test_a_table_of_an_earlier_comparison_is_replaced_whole(files, capsys, monkeypatch):
    out = files / "out.csv"
    out.write_text("")
    (files / "link.csv").symlink_to(out)
    assert compare(files, "--csv", files / "link.csv") == 0 and (files / "link.csv").is_symlink()
    first = out.read_text()
    assert first.startswith(cli_compare.CSV_HEADER)
    assert compare(files, "--csv", out) == 0 and out.read_text().splitlines()[0] == first.splitlines()[0]
    kept = out.read_bytes()
    capsys.readouterr()

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert compare(files, "--csv", out, "--json") == 1
    told, err = capsys.readouterr()
    assert "could not be written (No space left on device). The rest is done." in err
    assert json.loads(told.splitlines()[-1])["samples"] == 90
    assert out.read_bytes() == kept and not list(files.glob("*.partial"))


def test_a_table_goes_to_a_device_as_it_is(files):
    assert compare(files, "--csv", "/dev/null") == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert compare(files, "--csv", "/dev/full") == 1


def test_a_folder_that_looks_like_a_file_of_embeddings_is_a_folder(plugin, tmp_path, capsys):
    (tmp_path / "images.npy").mkdir()
    assert main(["compare", str(tmp_path / "images.npy")]) == 2
    assert "There are no images in" in capsys.readouterr().err


def test_rows_that_are_no_numbers_are_named(files, capsys):
    vectors = np.load(files / "vectors.npy")
    vectors[[4, 7], 2] = np.nan
    np.save(files / "vectors.npy", vectors)
    assert main(["compare", str(files / "vectors.npy")]) == 2
    assert "2 rows of" in capsys.readouterr().err
