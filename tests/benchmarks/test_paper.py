import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from benchmarks import paper
from benchmarks.paper import Clock, find_images, main
from elfs_plugin.errors import Cancelled
from elfs_plugin.proxy.config import ProxyConfig
from tests.few_steps import candidate_steps


@pytest.fixture(autouse=True)
def plain_machine(monkeypatch):
    monkeypatch.setattr(paper, "machine", lambda: "a machine")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "machine", lambda: "a machine")
        patch.setattr(paper, "write_digits", partial(paper.write_digits, per_class=10))
        final = ProxyConfig.resnet8(members=1, batch_size=64)
        settings = replace(paper.Settings.tiny(), final=final)
        patch.setattr(paper.Settings, "tiny", lambda: settings)
        candidate_steps(2, "resnet8", replace=patch.setattr)
        yield folder, main(["--tiny", "--folder", str(folder), "--device", "cpu"])


def test_tiny_runs_the_whole_way(tiny):
    folder, results = tiny
    assert results["finished"] and results == json.loads((folder / "results.json").read_text())
    assert (results["images"], results["test_images"], results["clusters"]) == (80, 20, 10)
    assert {rate: row["budget"] for rate, row in results["rates"].items()} == {"50%": 40, "80%": 16}
    for row in results["rates"].values():
        assert all(0 <= found[0] <= 1 for found in (row["random"], *row["elfs"].values()))
        assert set(row["beta"]) == set(row["elfs"]) == {"auto", "mlp"}
    assert 0 < results["audit"]["same_class_neighbours"] <= 1
    text = (folder / "results.md").read_text()
    assert "| 40 | 50% |" in text and "Not finished" not in text
    assert not list(folder.rglob("*.training")) and not list(folder.rglob("*.partial"))


def test_a_second_run_computes_nothing(tiny, monkeypatch):
    folder, results = tiny

    def fail(*arguments, **options):
        raise AssertionError("computed again")

    for name in ("train_encoder", "fit", "load_pixels", "embed"):
        monkeypatch.setattr(paper, name, fail)
    again = main(["--tiny", "--folder", str(folder), "--device", "cpu"])
    assert again["rates"] == results["rates"] and again["audit"] == results["audit"]


def test_what_is_kept_small_goes_on_on_another_machine(tiny, tmp_path, monkeypatch, capsys):
    folder, results = tiny
    pieces, other = tmp_path / "pieces", tmp_path / "other"
    main(["--tiny", "--folder", str(folder), "--device", "cpu", "--keep-small", str(pieces)])
    assert "Kept in" in capsys.readouterr().err

    def fail(*arguments, **options):
        raise AssertionError("computed again")

    for name in ("train_encoder", "fit", "embed"):
        monkeypatch.setattr(paper, name, fail)
    again = main(
        ["--tiny", "--folder", str(other), "--device", "cpu", "--images", str(folder / "images")]
        + ["--keep-small", str(pieces)]
    )
    assert again["finished"] and again["rates"] == results["rates"] and again["audit"] == results["audit"]
    assert not (other / "images").exists()
    assert {"pseudo_labels.npz", "dynamics.npz"} <= {path.name for path in (other / "pipeline").iterdir()}


def test_no_time_left_stops_cleanly_and_says_so(tmp_path):
    results = main(["--tiny", "--folder", str(tmp_path), "--minutes", "0", "--device", "cpu"])
    assert not results["finished"] and results["rates"] == {}
    assert "give the same command again" in (tmp_path / "results.md").read_text()


def test_small_takes_given_embeddings_and_searches_on_both(tiny, tmp_path, monkeypatch):
    vectors = np.random.default_rng(0).normal(size=(80, 8))
    np.save(tmp_path / "vectors.npy", vectors)
    arguments = [
        "--small",
        "--images",
        str(tiny[0] / "images"),
        "--embeddings",
        str(tmp_path / "vectors.npy"),
        "--folder",
        str(tmp_path / "out"),
        "--iterations",
        "2",
        "--repeats",
        "1",
        "--rates",
        "0.8",
        "--device",
        "cpu",
    ]
    small = paper.Settings.small()
    clustering = paper.Settings.tiny().clustering
    monkeypatch.setattr(paper.Settings, "small", lambda: replace(small, size=8, clustering=clustering))
    candidate_steps(1, "resnet8", replace=monkeypatch.setattr)
    results = main(arguments)
    assert results["finished"] and set(results["rates"]["80%"]["beta"]) == {"mlp", "resnet8"}
    assert "encoder (last sitting)" not in results["seconds"]
    assert "β on images" in (tmp_path / "out" / "results.md").read_text()
    np.save(tmp_path / "vectors.npy", vectors[:-1])
    with pytest.raises(SystemExit, match="80 training images and 79 embeddings"):
        main([*arguments[:-4], "--folder", str(tmp_path / "other")])


def test_images_are_needed(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--folder", str(tmp_path)])
    assert "--images is needed" in capsys.readouterr().err


def write_images(root, counts):
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (4, 4)).save(root / name / f"{number:03}.png")
        (root / name / "notes.txt").write_text("no image")


def test_a_given_test_split_is_used(tmp_path):
    write_images(tmp_path / "train", {"b": 3, "a": 2})
    write_images(tmp_path / "test", {"b": 1, "a": 2})
    train, test, names = find_images(tmp_path)
    assert names == ["a", "b"]
    assert train.truth.tolist() == [0, 0, 1, 1, 1] and test.truth.tolist() == [0, 0, 1]
    assert [path.name for path in train.paths] == ["000.png", "001.png", "000.png", "001.png", "002.png"]
    assert find_images(tmp_path, limit=1)[0].truth.tolist() == [0, 1]


def test_without_a_test_split_the_last_fifth_of_each_class_is_held_out(tmp_path):
    write_images(tmp_path, {"a": 10, "b": 4})
    train, test, _ = find_images(tmp_path)
    assert [path.name for path in test.paths] == ["008.png", "009.png", "003.png"]
    assert train.truth.tolist() == [0] * 8 + [1] * 3 and not set(train.paths) & set(test.paths)


def test_a_folder_without_classes_is_refused(tmp_path):
    write_images(tmp_path, {"a": 10})
    with pytest.raises(SystemExit, match="two classes"):
        find_images(tmp_path)


def test_the_clock_ends_when_its_time_is_up(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(paper.time, "monotonic", lambda: now[0])
    clock = Clock(minutes=2)
    clock(0.5)
    now[0] = 119
    clock(0.6)
    now[0] = 120
    with pytest.raises(Cancelled):
        clock(0.7)
    Clock()(0.1)


def test_wrong_labels_with_low_aum_are_told_apart():
    truth = np.array([0, 0, 0, 1, 1, 1])
    labels = np.array([1, 1, 0, 0, 0, 1])  # cluster 1 is class 0 and cluster 0 class 1: samples 2 and 5 are wrong
    aum = np.array([3.0, 2.0, -1.0, 3.0, 2.0, -2.0])
    assert paper._wrong_label_ranking(aum, labels, truth) == 1.0
    assert paper._wrong_label_ranking(-aum, labels, truth) == 0.0
    assert paper._wrong_label_ranking(aum, truth, truth) is None
