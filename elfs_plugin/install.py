"""Lets FiftyOne find this checkout as the plugin @elfs/coreset, without touching the user's plugin folder."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = "@elfs/coreset"


def point_fiftyone_here():
    """Sets FIFTYONE_PLUGINS_DIR to a folder of links: this checkout, and the plugins the user already has.

    To be called before FiftyOne is imported, so that the App's server process inherits it.
    """
    folder = ROOT / ".plugins"
    folder.mkdir(exist_ok=True)
    users = Path(os.environ.get("FIFTYONE_PLUGINS_DIR") or Path.home() / "fiftyone" / "__plugins__")
    wanted = {"elfs-coreset": ROOT}
    if users.is_dir() and users.resolve() != folder.resolve():
        for entry in users.iterdir():
            if entry.is_dir() and not entry.name.startswith(".") and not _is_this_plugin(entry):
                wanted[entry.name] = entry.resolve()
    for link in folder.iterdir():
        if link.is_symlink() and (link.name not in wanted or link.resolve() != wanted[link.name]):
            link.unlink()
    for name, target in wanted.items():
        if not (folder / name).exists():
            (folder / name).symlink_to(target, target_is_directory=True)
    os.environ["FIFTYONE_PLUGINS_DIR"] = str(folder)


def _is_this_plugin(folder):
    """Whether a user's plugin folder holds a copy of this plugin (which would register twice)."""
    for manifest in (*folder.glob("fiftyone.yml"), *folder.glob("*/fiftyone.yml")):
        if PLUGIN in manifest.read_text(encoding="utf-8", errors="ignore"):
            return True
    return False
