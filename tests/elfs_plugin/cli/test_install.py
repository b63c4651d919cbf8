import os

import pytest

from elfs_plugin.cli import install
from elfs_plugin.errors import ElfsError


@pytest.fixture
def checkout(monkeypatch, tmp_path):
    root = tmp_path / "checkout"
    root.mkdir()
    monkeypatch.setattr(install, "ROOT", root)
    monkeypatch.setenv("FIFTYONE_PLUGINS_DIR", str(tmp_path / "users"))
    return root


def links(folder):
    return {name: os.path.realpath(os.path.join(folder, name)) for name in sorted(os.listdir(folder))}


def user_plugin(tmp_path, name, manifest="name: mine"):
    folder = tmp_path / "users" / name
    folder.mkdir(parents=True)
    (folder / "fiftyone.yml").write_text(manifest)
    return str(folder)


def test_the_checkout_and_the_user_s_plugins_are_linked(checkout, tmp_path):
    mine = user_plugin(tmp_path, "mine")
    user_plugin(tmp_path, "copy", f"name: {install.PLUGIN}")
    install.point_fiftyone_here()
    folder = os.environ["FIFTYONE_PLUGINS_DIR"]
    assert folder == str(checkout / ".plugins")
    assert links(folder) == {"elfs-coreset": str(checkout), "mine": mine}


def test_a_user_s_plugin_of_our_name_keeps_its_place_beside_ours(checkout, tmp_path):
    theirs = user_plugin(tmp_path, "elfs-coreset")
    install.point_fiftyone_here()
    assert sorted(links(os.environ["FIFTYONE_PLUGINS_DIR"]).values()) == sorted([str(checkout), theirs])


def test_stale_links_go_and_the_rest_stays(checkout, tmp_path):
    (checkout / ".plugins").mkdir()
    (checkout / ".plugins" / "elfs-coreset").symlink_to(tmp_path / "moved")
    (checkout / ".plugins" / "old").symlink_to(tmp_path)
    (checkout / ".plugins" / "file").write_text("the user's")
    for _ in range(2):
        install.point_fiftyone_here()
        found = links(checkout / ".plugins")
        assert found.pop("file") and found == {"elfs-coreset": str(checkout)}


def test_a_user_s_dead_links_files_and_hidden_folders_are_passed_over(checkout, tmp_path):
    mine = user_plugin(tmp_path, "mine")
    user_plugin(tmp_path, ".hidden")
    (tmp_path / "users" / "dead").symlink_to(tmp_path / "gone")
    (tmp_path / "users" / "notes.txt").write_text("about")
    nested = tmp_path / "users" / "collection" / "copy"
    nested.mkdir(parents=True)
    (nested / "fiftyone.yml").write_text(f'name: "{install.PLUGIN}"')
    install.point_fiftyone_here()
    assert links(checkout / ".plugins") == {"elfs-coreset": str(checkout), "mine": mine}
    assert (tmp_path / "users" / "dead").is_symlink() and (nested / "fiftyone.yml").is_file()


def test_a_checkout_that_cannot_be_written_gets_a_temporary_folder(checkout, tmp_path, monkeypatch):
    (checkout / ".plugins").write_text("")  # no folder can be made there, not by root either
    mine = user_plugin(tmp_path, "mine")
    install.point_fiftyone_here()
    folder = os.environ["FIFTYONE_PLUGINS_DIR"]
    assert not folder.startswith(str(checkout)) and links(folder) == {"elfs-coreset": str(checkout), "mine": mine}

    def full(prefix):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(install.tempfile, "mkdtemp", full)
    monkeypatch.setenv("FIFTYONE_PLUGINS_DIR", str(tmp_path / "users"))
    with pytest.raises(ElfsError, match=r"\.plugins cannot be written .*TMPDIR"):
        install.point_fiftyone_here()


def test_a_home_in_the_path_of_plugins_is_understood(checkout, tmp_path, monkeypatch):
    mine = user_plugin(tmp_path, "mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FIFTYONE_PLUGINS_DIR", "~/users")
    install.point_fiftyone_here()
    assert links(os.environ["FIFTYONE_PLUGINS_DIR"])["mine"] == mine
