import json
import os
from pathlib import Path

import fiftyone as fo
import pytest
from fiftyone.core import odm

from elfs_plugin.errors import InvalidInput
from elfs_plugin.runs import folder, record


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("ELFS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def files(place):
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if not path.is_dir())


def test_the_home_is_the_same_however_it_is_written(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    name = f"elfs-{os.getpid()}"  # what is relative is remembered by its name
    for written in (f"~/{name}", name, f"./{name}", f" {tmp_path}/{name} "):
        monkeypatch.setenv("ELFS_HOME", written)
        assert folder.home() == tmp_path / name
    monkeypatch.setenv("ELFS_HOME", name)
    monkeypatch.chdir("/")
    assert folder.home() == tmp_path / name  # a program that changes its directory goes on with the same files
    for unset in ("", "  "):
        monkeypatch.setenv("ELFS_HOME", unset)
        assert folder.home() == Path(fo.constants.FIFTYONE_CONFIG_DIR) / "elfs"
    monkeypatch.setenv("ELFS_HOME", "~nobody-of-this-name/elfs")
    with pytest.raises(InvalidInput, match="'~nobody-of-this-name' is no home here. Give a full path"):
        folder.home()
    monkeypatch.setenv("ELFS_HOME", f"{tmp_path}/{'é' * 128}")
    with pytest.raises(InvalidInput, match="a name of more than 255 bytes. Give a shorter path"):
        folder.home()


def test_a_prepared_folder_is_marked_swept_and_writable(dataset, home):
    assert folder.prepare(dataset, "elfs") is None
    place = folder.run_folder(dataset, "elfs")
    assert place == record.run_folder(dataset, "elfs") and files(home) == [f"{dataset._doc.id}/{folder.MARKER}"]
    old = place / "stages" / "beta.partial"
    old.parent.mkdir()
    old.write_text("half")
    os.utime(old, (0, 0))
    assert folder.prepare(dataset, "elfs") is None and not old.exists()
    assert json.loads((place.parent / folder.MARKER).read_text()) == [folder.database_identity()]
    folder.remove_run_folder(dataset, "elfs")
    assert os.listdir(home) == []


def test_an_unusable_home_is_said_in_a_sentence(dataset, monkeypatch, tmp_path, open_folder, without_rights):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ELFS_HOME", str(tmp_path / "file"))
    assert "ELFS_HOME" in folder.prepare(dataset, "elfs")
    folder.remove_run_folder(dataset, "elfs")
    assert folder.remove_orphans() == []
    monkeypatch.setenv("ELFS_HOME", str(open_folder))
    with without_rights():
        open_folder.chmod(0o555) if os.geteuid() == os.stat(open_folder).st_uid else None
        assert "(Permission denied)" in folder.prepare(dataset, "elfs")


def test_links_are_removed_and_not_followed(dataset, home, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_text("the user's")
    place = folder.run_folder(dataset, "elfs")
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "photos")
    folder.remove_run_folder(dataset, "elfs")
    assert os.listdir(home) == [] and (tmp_path / "photos" / "a.png").read_text() == "the user's"


def test_folders_of_deleted_datasets_go_and_no_others(new_dataset, home, monkeypatch):
    kept, gone, foreign, shared, unmarked = (new_dataset(2) for _ in range(5))
    for dataset in (kept, gone, foreign, shared):
        folder.prepare(dataset, "elfs")
        (folder.run_folder(dataset, "elfs") / "embeddings.npy").write_text("1")
    folder.run_folder(unmarked, "elfs").mkdir(parents=True)
    (home / str(foreign._doc.id) / folder.MARKER).write_text('["another 00 /database"]')
    with monkeypatch.context() as elsewhere:  # a copy of the database has the same dataset
        elsewhere.setattr(folder, "database_identity", lambda: "a copy")
        folder.prepare(shared, "elfs")
    (home / "notes").mkdir()
    (home / "0123456789abcdef01234567").write_text("the user's")
    assert folder.remove_orphans() == []
    removed = home / str(gone._doc.id)
    for dataset in (gone, foreign, shared, unmarked):
        dataset.delete()
    before = files(home)
    assert folder.remove_orphans() == [removed] and not removed.exists()
    assert files(home) == [name for name in before if not name.startswith(removed.name)]
    assert folder.remove_orphans() == []


def test_a_folder_with_a_rest_that_cannot_go_keeps_its_mark(new_dataset, home, monkeypatch):
    dataset = new_dataset(2)
    folder.prepare(dataset, "elfs")
    place = home / str(dataset._doc.id)
    dataset.delete()
    with monkeypatch.context() as stuck:
        stuck.setattr(folder, "_remove_tree", lambda path: None)
        assert folder.remove_orphans() == []
    assert (place / folder.MARKER).is_file()
    assert folder.remove_orphans() == [place]


def test_databases_are_told_apart(monkeypatch):
    fo.list_datasets()
    here = folder.database_identity()
    assert here == folder.database_identity() and fo.config.database_name in here
    monkeypatch.setattr(fo.config, "database_name", "another")
    assert folder.database_identity() != here

    class Empty:
        def command(self, *args, **kwargs):
            return {"cursor": {"firstBatch": []}}

    monkeypatch.setattr(odm, "get_db_conn", Empty)
    assert folder.database_identity() is None


@pytest.mark.parametrize("key", ["..", "../..", ".", "", "/", "a/b", "elfs/../.."])
def test_no_key_leads_out_of_the_home(dataset, key):
    from elfs_plugin import runs

    beside = folder.home() / "mine"
    beside.mkdir(parents=True, exist_ok=True)
    folder.run_folder(dataset, "elfs").mkdir(parents=True)
    with pytest.raises(InvalidInput):
        folder.run_folder(dataset, key)
    with pytest.raises(InvalidInput):
        folder.remove_run_folder(dataset, key)
    with pytest.raises(InvalidInput, match="There is no ELFS run"):
        runs.delete_run(dataset, key)
    assert beside.is_dir() and folder.run_folder(dataset, "elfs").is_dir()
    beside.rmdir()
    folder.remove_run_folder(dataset, "elfs")
