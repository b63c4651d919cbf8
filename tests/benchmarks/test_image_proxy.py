import zipfile

import numpy as np
import pytest
from PIL import Image

from benchmarks import image_proxy
from benchmarks.image_proxy import Results, compare, image_names, main, read_pixels


@pytest.fixture
def folder(tmp_path):
    """Six images of one grey each, 10 to 60, two of them in another folder than the rest; and a text."""
    rng = np.random.default_rng(0)
    for at, name in enumerate(
        ["train/a/0.png", "train/a/1.png", "train/b/0.png", "train/b/1.PNG", "test/a/0.png", "test/b/0.png"]
    ):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 9, 3), 10 * (at + 1), dtype=np.uint8)).save(path)
    (tmp_path / "images" / "train" / "notes.txt").write_text("no image")
    np.save(tmp_path / "vectors.npy", rng.normal(size=(4, 3)).astype(np.float32))
    return tmp_path


def zipped(folder):
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for path in sorted((folder / "images").rglob("*.*"), reverse=True):
            archive.write(path, path.relative_to(folder / "images").as_posix())
    return folder / "images.zip"


def test_a_folder_and_a_zip_file_hold_the_same_images_in_sorted_order(folder):
    names = ["train/a/0.png", "train/a/1.png", "train/b/0.png", "train/b/1.PNG"]
    archive = zipped(folder)
    for source in (folder / "images", archive):
        assert image_names(source, "train") == names
        assert len(image_names(source)) == 6
        pixels = read_pixels(source, [names[3], names[0]], 8)
        assert pixels.shape == (2, 3, 8, 8)
        assert (pixels[0] == 40).all() and (pixels[1] == 10).all()


def test_an_image_that_cannot_be_read_ends_the_program(folder):
    (folder / "images" / "train" / "a" / "0.png").write_bytes(b"")
    with pytest.raises(SystemExit, match=r"1 images cannot be read, the first is train/a/0.png: empty file"):
        read_pixels(folder / "images", ["train/a/1.png", "train/a/0.png"], 8)


def test_results_are_made_once_and_belong_to_their_settings(tmp_path):
    made = []

    def make(value):
        made.append(value)
        return np.arange(value)

    for _ in range(2):
        assert Results(tmp_path, {"rows": 3}).array("numbers", make, 3).tolist() == [0, 1, 2]
    assert made == [3]
    assert Results(tmp_path, {"rows": 3}).seconds().rows == [["numbers", 0]]
    with pytest.raises(SystemExit, match="results of other settings"):
        Results(tmp_path, {"rows": 4})


def test_pairs_by_hand():
    # 20 samples, 2 in the coreset, which begins after the 4 hardest: ranks 4 and 5.
    up, down = np.arange(20.0), -np.arange(20.0)
    near = up.copy()
    near[[5, 6]] = [6, 5]
    rows = compare({"one": [up, near], "other": [down]}).rows
    assert [row[:2] for row in rows] == [["one: two seeds", 1], ["one - other", 2]]
    assert rows[0][2:] == [0.998, 50.0]  # 1 - 6 * 2 / (20 * 399); rank 4 in common
    assert rows[1][2]["mean"] == pytest.approx(-0.999, abs=1e-3) and rows[1][3] == {"mean": 0.0, "sd": 0.0}


def test_a_run_and_the_same_run_again(folder, monkeypatch, capsys):
    monkeypatch.setattr(image_proxy, "pseudo_labels", lambda vectors, clusters, progress: np.arange(4) % clusters)
    data = ["--images", folder / "images", "--inside", "train", "--embeddings", folder / "vectors.npy", "--size", 8]
    settings = ["--rows", 3, "--clusters", 2, "--epochs", 1, "--seeds", 2, "--device", "cpu"]
    arguments = [str(argument) for argument in [*data, "--folder", folder / "results", *settings]]
    main(arguments)
    first = capsys.readouterr().out.partition("3 of 4 images of 8 pixels x 3, 2 clusters")[2]
    for name in (
        "fast proxy, these images - ResNet-18, 1 epochs | 4 |",
        "ResNet-18, 1 epochs: two seeds | 1 |",
        "small ResNets, 4: two seeds | 1 |",
        "small ResNets, 4 - ResNet-18, 1 epochs | 4 |",
    ):
        assert name in first
    monkeypatch.setattr(image_proxy, "image_aum", None)  # nothing is trained again
    main(arguments)
    assert capsys.readouterr().out.endswith(first)
    assert np.load(folder / "results" / "resnet18_1_1.npy").shape == (3,)


def test_time_runs_out(folder, monkeypatch, capsys):
    monkeypatch.setattr(image_proxy, "pseudo_labels", lambda vectors, clusters, progress: np.arange(4) % clusters)
    main(
        [
            "--images",
            str(folder / "images"),
            "--inside",
            "train",
            "--embeddings",
            str(folder / "vectors.npy"),
            "--folder",
            str(folder / "results"),
            "--minutes",
            "0",
        ]
    )
    assert "Out of time" in capsys.readouterr().out


def test_images_and_embeddings_must_be_as_many(folder):
    with pytest.raises(SystemExit, match="There are 6 images and 4 embeddings. Choose with --inside."):
        main(
            [
                "--images",
                str(folder / "images"),
                "--embeddings",
                str(folder / "vectors.npy"),
                "--folder",
                str(folder / "results"),
            ]
        )
