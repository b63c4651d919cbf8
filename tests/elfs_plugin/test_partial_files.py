import os
import subprocess
import sys
import time

from elfs_plugin import owner
from elfs_plugin.partial_files import LEFT_SECONDS, PARTIAL, partial_path, sweep


def test_every_writer_has_a_name_of_its_own(tmp_path):
    assert len({partial_path(tmp_path / "x") for _ in range(100)}) == 100


def test_where_it_is_not_known_who_writes_age_decides(tmp_path, monkeypatch):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    monkeypatch.setattr(owner, "place", lambda: None)
    path = partial_path(tmp_path / "a.npz")
    path = path.with_name(path.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-"))
    path.write_bytes(b"1")
    assert sweep(tmp_path) == []
    assert sweep(tmp_path, now=time.time() + LEFT_SECONDS + 60) == [path]


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
    later = time.time() + LEFT_SECONDS + 60
    swept = {path.name for path in sweep(tmp_path, now=later)}
    assert swept == {elsewhere.name, "graph.0f.partial", "beta.partial", "linked.partial"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["stages", "kept.npz", mine.name])
    assert sweep(tmp_path / "nowhere") == []


def test_a_folder_that_is_still_written_into_is_no_leftover(tmp_path):
    folder = tmp_path / f"graph{PARTIAL}"
    folder.mkdir()
    (folder / "ids.npy").write_bytes(b"1")
    hours_ago = time.time() - 3 * LEFT_SECONDS
    os.utime(folder, (hours_ago, hours_ago))
    assert sweep(tmp_path) == []
    os.utime(folder / "ids.npy", (hours_ago, hours_ago))
    assert sweep(tmp_path) == [folder]
