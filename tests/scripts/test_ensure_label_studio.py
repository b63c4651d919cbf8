"""What ``make test`` installs for the tests with Label Studio, without installing it."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts import ensure_label_studio


class Machine:
    """Notes what would be run; a command that holds the word ``failing`` fails. ``init`` makes a database."""

    def __init__(self):
        self.commands, self.failing = [], "nothing"

    def run(self, command, env=None, **options):
        words = [str(word) for word in command]
        self.commands.append("pip" if "pip" in words else words[1])
        if self.failing in words:
            return SimpleNamespace(returncode=1, stdout="", stderr="no room")
        if "init" in words:
            (Path(env["LABEL_STUDIO_BASE_DATA_DIR"]) / ensure_label_studio.DATABASE).write_text("empty")
        return SimpleNamespace(returncode=0, stdout="", stderr="")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    found = Machine()
    monkeypatch.setattr(subprocess, "run", found.run)
    monkeypatch.setattr(ensure_label_studio.venv, "create", lambda folder, with_pip: folder.mkdir(exist_ok=True))
    monkeypatch.setenv("ELFS_LABEL_STUDIO", str(tmp_path / "environment"))
    return found


def test_it_is_installed_once_and_again_for_another_version(machine, tmp_path, monkeypatch):
    assert ensure_label_studio.find() is None
    ensure_label_studio.main()
    ensure_label_studio.main()
    assert machine.commands == ["pip", "init"]
    assert ensure_label_studio.find() == tmp_path / "environment" / "bin" / "label-studio"
    assert (tmp_path / "environment" / ensure_label_studio.DATABASE).read_text() == "empty"
    monkeypatch.setattr(ensure_label_studio, "WANTED", "label-studio>=9")
    assert ensure_label_studio.find() is None
    ensure_label_studio.main()
    assert machine.commands == ["pip", "init"] * 2


@pytest.mark.parametrize(
    "failing, sentence", [("pip", "installation .* failed"), ("init", "made no database:\nno room")]
)
def test_what_failed_is_tried_again(machine, failing, sentence):
    machine.failing = failing
    with pytest.raises(SystemExit, match=sentence):
        ensure_label_studio.main()
    assert ensure_label_studio.find() is None
    machine.failing = "nothing"
    ensure_label_studio.main()
    assert ensure_label_studio.find()


def test_it_speaks_to_nobody_and_keeps_to_its_folder(tmp_path):
    settings = ensure_label_studio.settings(tmp_path)
    assert settings["HOME"] == settings["LABEL_STUDIO_BASE_DATA_DIR"] == str(tmp_path)
    assert settings["SENTRY_DSN"] == settings["FRONTEND_SENTRY_DSN"] == ""
    assert settings["COLLECT_ANALYTICS"] == settings["LATEST_VERSION_CHECK"] == "false"
