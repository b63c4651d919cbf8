import subprocess

import numpy as np
import pytest

from benchmarks import keep_small
from benchmarks.keep_small import pack, unpack


@pytest.fixture
def folder(tmp_path):
    """What a run leaves behind in the middle."""
    root = tmp_path / "results"
    for name in (
        "embeddings.npz",
        "results.json",
        "train.npy",
        "test.json",
        "encoder.training",
        "elfs-50%.training",
        "results.md.partial",
        "images/0/1.png",
        "pipeline/neighbors.npz",
        "pipeline/pseudo_labels.npz",
        "pipeline/dynamics.training",
        "prune-50%/beta.training",
        "prune-50%/beta.training.3-1",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


KEPT = {"embeddings.npz", "results.json", "pipeline/pseudo_labels.npz", "prune-50%/beta.training"}


def test_all_but_trainings_in_progress_and_what_is_made_again(folder, tmp_path):
    pieces, left_out = pack(folder, tmp_path / "pieces", apart=[folder / "images"])
    assert len(pieces) == 1 and left_out == []
    made = unpack(tmp_path / "pieces", tmp_path / "other")
    assert set(made) == KEPT
    assert contents(tmp_path / "other") == {name: name.encode() for name in KEPT}


def test_nothing_is_overwritten_and_nothing_kept_is_no_error(folder, tmp_path):
    assert unpack(tmp_path / "none", tmp_path / "other") == []
    pack(folder, tmp_path / "pieces")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "results.json").write_text("newer")
    assert "results.json" not in unpack(tmp_path / "pieces", tmp_path / "other")
    assert (tmp_path / "other" / "results.json").read_text() == "newer"


def test_pieces_and_their_sum_are_limited(folder, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    (folder / "large.npz").write_bytes(rng.bytes(90_000))
    (folder / "embeddings.npz").write_bytes(rng.bytes(50_000))
    monkeypatch.setattr(keep_small, "PIECE_BYTES", 20_000)
    monkeypatch.setattr(keep_small, "ALL_BYTES", 100_000)
    pieces, left_out = pack(folder, tmp_path / "pieces")
    sizes = [path.stat().st_size for path in pieces]
    assert left_out == ["large.npz"] and max(sizes) <= 20_000 and sum(sizes) <= 100_000 and len(sizes) >= 3
    assert "embeddings.npz" in unpack(tmp_path / "pieces", tmp_path / "other")
    assert (tmp_path / "other" / "embeddings.npz").read_bytes() == (folder / "embeddings.npz").read_bytes()


def test_older_pieces_are_removed(folder, tmp_path):
    first, _ = pack(folder, tmp_path / "pieces")
    (folder / "results.json").write_text("more")
    second, _ = pack(folder, tmp_path / "pieces")
    assert set(tmp_path.joinpath("pieces").glob("*.part")) == set(second) != set(first)


def test_missing_or_damaged_pieces_are_told(folder, tmp_path):
    (piece,), _ = pack(folder, tmp_path / "pieces")
    content = piece.read_bytes()
    for damaged in (content[:-1], b""):
        piece.write_bytes(damaged)
        with pytest.raises(SystemExit, match="missing or damaged"):
            unpack(tmp_path / "pieces", tmp_path / "other")
    piece.unlink()
    with pytest.raises(SystemExit, match="missing or damaged"):
        unpack(tmp_path / "pieces", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_usual_tools_open_it(folder, tmp_path):
    pack(folder, tmp_path / "pieces")
    subprocess.run("cat kept-*.part | tar x", shell=True, cwd=tmp_path / "pieces", check=True)
    assert (tmp_path / "pieces" / "pipeline" / "pseudo_labels.npz.xz").is_file()
