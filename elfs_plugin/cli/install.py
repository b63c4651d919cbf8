"""Lets FiftyOne find this checkout as the plugin @elfs/coreset, without touching the user's plugin folder."""

import atexit
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from ..errors import ElfsError

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "@elfs/coreset"
NAME = "elfs-coreset"


def point_fiftyone_here() -> None:
    """Sets FIFTYONE_PLUGINS_DIR to a folder of links: this checkout, and the plugins the user already has.

    To be called before FiftyOne is imported, so that the App's server process inherits it. The folder is the
    checkout's ``.plugins``, or where that cannot be written a temporary one that goes with this process.

    Raises:
        ElfsError: when there is no place for it
    """
    usual = ROOT / ".plugins"
    given = os.environ.get("FIFTYONE_PLUGINS_DIR")
    users = Path(os.path.expanduser(given)) if given else Path.home() / "fiftyone" / "__plugins__"
    wanted = _wanted(users, usual)
    try:
        folder = _link(usual, wanted)
    except OSError as error:
        try:
            folder = _link(_temporary_folder(), wanted)
        except OSError:
            raise ElfsError(
                f"The folder of plugins {usual} cannot be written ({error.strerror}), and no temporary one either. "
                "Make one of them writable, or set TMPDIR to a folder that is."
            ) from None
    os.environ["FIFTYONE_PLUGINS_DIR"] = str(folder)


def _wanted(users, usual):
    """Name of the link -> where it leads: this checkout, and what lies in the user's folder of plugins."""
    wanted = {NAME: ROOT}
    with contextlib.suppress(OSError):  # a folder that cannot be read has no plugins for us
        if users.is_dir() and users.resolve() != usual.resolve():
            for entry in sorted(users.iterdir()):
                if entry.is_dir() and not entry.name.startswith(".") and not _is_this_plugin(entry):
                    name = entry.name if entry.name != NAME else f"{NAME}-of-the-user"
                    wanted[name] = entry.resolve()
    return wanted


def _link(folder, wanted):
    """Makes ``folder`` hold the wanted links and no others. Another process may be doing the same."""
    folder.mkdir(exist_ok=True)
    for link in list(folder.iterdir()):
        if link.is_symlink() and (link.name not in wanted or not _leads(link, wanted[link.name])):
            link.unlink(missing_ok=True)
    for name, target in wanted.items():
        if not _leads(folder / name, target):
            with contextlib.suppress(FileExistsError):
                (folder / name).symlink_to(target, target_is_directory=True)
    return folder


def _leads(link, target):
    return link.exists() and link.resolve() == target


def _temporary_folder():
    folder = Path(tempfile.mkdtemp(prefix="elfs-plugins-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # which removes links, not what they lead to
    return folder


def _is_this_plugin(folder):
    """Whether a user's plugin folder holds a copy of this plugin (which would register twice)."""
    for manifest in (*folder.glob("fiftyone.yml"), *folder.glob("*/fiftyone.yml")):
        with contextlib.suppress(OSError):
            if PLUGIN in manifest.read_text(encoding="utf-8", errors="ignore"):
                return True
    return False
