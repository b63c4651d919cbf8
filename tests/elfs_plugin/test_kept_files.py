import os
import subprocess
import sys
import time

import pytest

from elfs_plugin import kept_files
from elfs_plugin.kept_files import PARTIAL, is_alive, partial_path, sweep, whole_file


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    with whole_file(path) as file:
        file.write(b"old")
        assert not path.exists()
    with pytest.raises(RuntimeError), whole_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_link_at_the_partial_name_is_not_followed(tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.write_text("the user's")
    monkeypatch.setattr(kept_files, "partial_path", lambda path: tmp_path / "x.partial")
    (tmp_path / "x.partial").symlink_to(mine)
    with pytest.raises(FileExistsError), whole_file(tmp_path / "x"):
        pass
    assert mine.read_text() == "the user's" and (tmp_path / "x.partial").is_symlink()


def test_every_writer_has_a_name_of_its_own_that_fits(tmp_path):
    assert len({partial_path(tmp_path / "x") for _ in range(100)}) == 100
    for name in ("x" * 250, "写" * 80):
        with whole_file(tmp_path / name) as file:
            file.write(b"1")
        assert (tmp_path / name).read_bytes() == b"1"


def test_leftovers_of_dead_writers_and_old_ones_are_swept(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "stages").mkdir()
    mine = partial_path(tmp_path / "stages" / "a.npz")
    theirs = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-"))
    elsewhere = mine.with_name("b.npz.0123abcd-1-0123456789ab.partial")
    graph = tmp_path / "graph.0f.partial"
    graph.mkdir()
    for path in (mine, theirs, elsewhere, graph / "ids.npy", tmp_path / "beta.partial", tmp_path / "kept.npz"):
        path.write_bytes(b"1")
    (tmp_path / "linked.partial").symlink_to(tmp_path / "stages")
    assert sweep(tmp_path) == [theirs]
    later = time.time() + kept_files.LEFT_SECONDS + 60
    swept = {path.name for path in sweep(tmp_path, now=later)}
    assert swept == {elsewhere.name, "graph.0f.partial", "beta.partial", "linked.partial"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["stages", "kept.npz", mine.name])
    assert sweep(tmp_path / "nowhere") == []


def test_a_folder_that_is_still_written_into_is_no_leftover(tmp_path):
    folder = tmp_path / f"graph{PARTIAL}"
    folder.mkdir()
    (folder / "ids.npy").write_bytes(b"1")
    hours_ago = time.time() - 3 * kept_files.LEFT_SECONDS
    os.utime(folder, (hours_ago, hours_ago))
    assert sweep(tmp_path) == []
    os.utime(folder / "ids.npy", (hours_ago, hours_ago))
    assert sweep(tmp_path) == [folder]


@pytest.mark.skipif(os.name == "nt", reason="no zombies")
def test_a_process_that_ended_without_being_asked_for_is_dead():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    assert is_alive(os.getpid())
    deadline = time.monotonic() + 30
    while is_alive(child.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(child.pid) and child.returncode is None
    child.wait()
    assert not is_alive(child.pid)


def test_what_one_can_do_without_is_kept_where_it_can_be(tmp_path):
    assert kept_files.keep(tmp_path / "new" / "file", lambda file: file.write(b"1"))
    assert (tmp_path / "new" / "file").read_bytes() == b"1"
    assert not kept_files.keep(tmp_path / "none" / "file", lambda file: file.write(b"1"), make_folder=False)
    assert not kept_files.keep(tmp_path / "new" / "file" / "x", lambda file: file.write(b"1"))
    with pytest.raises(ZeroDivisionError):
        kept_files.keep(tmp_path / "other", lambda file: 1 / 0)
    assert sorted(os.listdir(tmp_path)) == ["new"]
