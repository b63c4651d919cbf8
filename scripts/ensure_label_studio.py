"""Makes sure the tests find a Label Studio, in an environment of its own: its packages do not go with the plugin's.

With it comes an empty database, which takes Label Studio half a minute to make. ``ELFS_LABEL_STUDIO`` names another
such environment. Standard library only.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WANTED = "label-studio>=1.23,<2"
DATABASE = "label_studio.sqlite3"

QUIET = {
    "COLLECT_ANALYTICS": "false",
    "FRONTEND_SENTRY_DSN": "",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
}
"""It then speaks to nobody but its users."""


def environment():
    """Where it is, or will be."""
    return Path(os.environ.get("ELFS_LABEL_STUDIO") or ROOT / ".venv-label-studio").resolve()


def find():
    """The command, or None."""
    stamp = environment() / "elfs-requirements"
    whole = stamp.is_file() and stamp.read_text() == WANTED
    return environment() / "bin" / "label-studio" if whole else None


def settings(folder):
    """The variables of a process of Label Studio whose data are in ``folder``."""
    return {**os.environ, **QUIET, "HOME": str(folder), "LABEL_STUDIO_BASE_DATA_DIR": str(folder)}


def main():
    if find():
        return
    folder = environment()
    print(f"Installing Label Studio into {folder.name} (0.7 GB, once)", flush=True)
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    if subprocess.run([*pip, WANTED]).returncode:
        sys.exit("The installation of Label Studio failed; see above. Run it again.")
    make_database(folder)
    (folder / "elfs-requirements").write_text(WANTED)


def make_database(folder):
    with tempfile.TemporaryDirectory() as data:
        command = [folder / "bin" / "label-studio", "init", "--quiet"]
        made = subprocess.run(command, env=settings(data), cwd=data, capture_output=True, text=True)
        if made.returncode or not (Path(data) / DATABASE).is_file():
            sys.exit(f"Label Studio made no database:\n{made.stdout}{made.stderr}")
        shutil.copy(Path(data) / DATABASE, folder / DATABASE)


if __name__ == "__main__":
    main()
