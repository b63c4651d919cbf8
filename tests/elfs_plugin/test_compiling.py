import os

import pytest

from elfs_plugin import compiling
from elfs_plugin.compiling import AGAIN_SECONDS, FIRST_SECONDS, keep_on_disk, known, pays, remember


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """Nothing compiled yet; kernels are kept below ``tmp_path``."""
    monkeypatch.setattr(compiling, "_known", set())
    monkeypatch.delenv(compiling.FOLDER, raising=False)
    monkeypatch.setenv("ELFS_HOME", str(tmp_path))
    yield
    os.environ.pop(compiling.FOLDER, None)


def test_it_pays_when_the_steps_save_more_than_it_takes():
    assert not pays(1000, FIRST_SECONDS / 1000, "net") and pays(1001, FIRST_SECONDS / 1000, "net")


def test_what_this_process_has_compiled_costs_less():
    remember("net")
    assert known("net") and not known("other")
    assert pays(1001, AGAIN_SECONDS / 1000, "net") and not pays(1001, AGAIN_SECONDS / 1000, "other")


def test_what_another_process_has_compiled_is_known_from_the_disk(monkeypatch):
    remember("net")
    monkeypatch.setattr(compiling, "_known", set())
    assert known("net")


def test_kernels_are_kept_beside_the_plugins_files_unless_the_user_has_chosen_a_place(tmp_path, monkeypatch):
    keep_on_disk()
    assert os.environ[compiling.FOLDER] == str(tmp_path / "compiled") and (tmp_path / "compiled").is_dir()
    monkeypatch.setenv(compiling.FOLDER, str(tmp_path / "own"))
    keep_on_disk()
    assert os.environ[compiling.FOLDER] == str(tmp_path / "own")


def test_a_place_that_cannot_be_written_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ELFS_HOME", str(tmp_path / "file"))
    keep_on_disk()
    assert compiling.FOLDER not in os.environ
    remember("net")
    assert known("net")
