"""The evidence: its data, its measurement, and the document that is written from it."""

import numpy as np
import pytest

from benchmarks import evidence, evidence_document, evidence_sets, results
from benchmarks.common import Data
from tests.few_steps import shorten


@pytest.fixture(scope="module")
def data():
    truth = np.repeat(np.arange(4), 150)
    vectors = np.random.default_rng(0).normal(size=(600, 8)) + 4 * np.eye(4, 8)[truth]
    return Data("blobs", vectors.astype(np.float32), truth)


def test_a_fifth_of_each_class_is_held_out(data):
    case = evidence_sets.plain(data)
    assert len(case.vectors) == 480 and np.bincount(case.held_out[1]).tolist() == [30] * 4
    assert np.linalg.norm(case.vectors, axis=1) == pytest.approx(np.ones(480))
    assert not (case.vectors[:, None] == case.held_out[0]).all(axis=2).any()
    assert case.classes == 4


def test_the_last_class_is_a_hundredth_of_the_first(data):
    case = evidence_sets.VERSIONS["long-tail"](data)
    counts = np.bincount(case.truth)
    assert counts[0] == 120 and counts[3] == 1 and (np.diff(counts) < 0).all()
    assert np.bincount(case.held_out[1]).tolist() == [30] * 4


def test_near_duplicates_are_near_and_unequally_spread(data):
    case = evidence_sets.VERSIONS["duplicates"](data)
    n = len(case.vectors)
    assert n == 480 + round(480 * 3 / 7)
    similar = case.vectors @ case.vectors.T
    np.fill_diagonal(similar, -1)
    copied = (similar > 0.97).any(axis=1)
    assert 0.3 <= copied.mean() < 0.5 and (similar > 0.95).sum(axis=1).max() > 20
    nearest = similar.argmax(axis=1)[copied]
    assert (case.truth[nearest] == case.truth[copied]).mean() > 0.99


def test_unrelated_samples_have_no_class(data):
    case = evidence_sets.VERSIONS["unrelated"](data)
    assert np.mean(case.truth == evidence_sets.NOISE) == pytest.approx(0.05, abs=0.003)
    assert case.classes == 4


def test_what_belongs_to_no_class_teaches_nothing(data):
    case = evidence_sets.VERSIONS["unrelated"](data)
    noise = np.flatnonzero(case.truth == evidence_sets.NOISE)
    known = np.flatnonzero(case.truth >= 0)[:40]
    alone = evidence.tested(case, known)
    assert evidence.tested(case, np.concatenate([noise, known])).tolist() == alone.tolist()
    assert alone.mean() > 0.9
    assert evidence.tested(case, noise).tolist() == [1, 0, 0, 0]


def test_budgets_are_at_most_half():
    assert evidence.budgets_of(1438) == [10, 20, 50, 100, 144, 200, 400, 431, 719]
    assert evidence.budgets_of(40_000)[-3:] == [4000, 12_000, 20_000]


@pytest.fixture
def kept(data, tmp_path, monkeypatch):
    shorten("elfs_plugin", monkeypatch.setattr)
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(evidence_document, "DOCUMENT", tmp_path / "docs" / "evidence.md")
    monkeypatch.setattr(evidence_document, "FIGURES", tmp_path / "docs" / "evidence")
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(evidence, "audited_data", lambda options, parser: data)
    (tmp_path / "docs").mkdir()
    return tmp_path


def measure(version, name, *methods):
    arguments = [version, "--seeds", 2, "--budgets", 8, 0.3, "--methods", *methods, "--save", name]
    evidence.main(["measure", *arguments])


def test_from_measurement_to_document(kept, capsys):
    measure("long-tail", "blobs-long-tail--free", "random", "graph_coverage", "k_medoids")
    measure("long-tail", "blobs-long-tail--others", "elfs", "cut_coverage", "graph_coverage, k = 10")
    assert evidence.main([]) == 0 and evidence.main(["--check"]) == 0
    text = (kept / "docs" / "evidence.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for name in ("`random`", "`graph_coverage`", "`k_medoids`", "`elfs`", "`auto`", "`cut_coverage`"):
        assert sum(line.startswith(f"| {name} |") for line in rows) >= 1
    assert "Accuracy on the rarest class" in text and "evidence-blobs-long-tail.svg" in text
    figure = (kept / "docs" / "evidence" / "evidence-blobs-long-tail.svg").read_text()
    assert "graph_coverage" in figure and "accuracy on held-out images" in figure
    (kept / "docs" / "evidence.md").write_text(text + "more")
    capsys.readouterr()
    assert evidence.main(["--check"]) == 1 and "run make evidence" in capsys.readouterr().out


def test_parts_that_do_not_fit_are_not_joined(kept):
    measure("plain", "blobs--a", "random")
    arguments = ["plain", "--seeds", 1, "--budgets", 9, "--methods", "graph_coverage", "--save", "blobs--b"]
    evidence.main(["measure", *arguments])
    with pytest.raises(ValueError, match="other budgets"):
        evidence.main([])


def test_without_results_nothing_is_written(kept):
    with pytest.raises(SystemExit, match="measure first"):
        evidence.main([])
    assert not (kept / "docs" / "evidence.md").exists()


def test_methods_that_draw_nothing_are_measured_once(kept):
    measure("plain", "blobs", "random", "graph_coverage")
    table = results.read(kept / "results" / "evidence-blobs.json").tables["accuracy"]
    assert [row[:2] for row in table.rows] == [["`random`", 2], ["`graph_coverage`", 1]]


def test_auto_is_the_method_that_is_recommended():
    columns = ["method", "seeds", "10, %", "1,000, %"]
    cells = {
        "`random`": [50.0, 60.0],
        "`graph_coverage`": [70.0, 61.0],
        "`zcore`": [40.0, 64.0],
        "`k_medoids`": [69.0, 62.0],
    }
    accuracy = results.Table(columns)
    for name, values in cells.items():
        accuracy.add(name, 5, *[{"mean": value, "sd": 1.0} for value in values])
    pool = results.Table(["images", "classes", "held out", "right"])
    pool.add(10_000, 10, 100, None)
    found = results.Result([], "", False, "", "", {"accuracy": accuracy, "pool": pool})
    of = evidence_document.differences(found)
    assert of == {10: (20.0, 1.0, "`graph_coverage`", 0.0, 0.0), 1000: (1.0, 1.0, "`zcore`", 2.0, 3.0)}
    assert evidence_document.rare_gains(found) == {}  # k_center was not measured
    assert evidence_document.with_auto(found).rows[0][0] in ("`graph_coverage`", "`auto`")


def test_networks_from_the_images_alone(kept, tmp_path, capsys):
    from benchmarks.paper import write_digits

    for split in ("train", "test"):
        write_digits(tmp_path / "images" / split, per_class=4)
    np.save(tmp_path / "vectors.npy", np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32))
    files = ["--images", tmp_path / "images", "--embeddings", tmp_path / "vectors.npy"]
    evidence.main(["network", *files, "--budgets", 10, 20, "--seeds", 1, "--steps", 2, "--save", "tiny"])
    table = results.read(kept / "results" / "evidence_network-tiny.json").tables["accuracy"]
    names = ["`random`", "`graph_coverage`", "`k_medoids`", "`elfs`", "`cut_coverage`"]
    assert [row[0] for row in table.rows] == names and all(0 <= row[2]["mean"] <= 100 for row in table.rows)


def test_the_document_of_this_repository_is_of_its_results(capsys):
    assert evidence.main(["--check"]) == 0, capsys.readouterr().out
