"""The borders that a reading of the imports (`make lint`) cannot see, each looked at in a process of its own."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("faiss", "numba", "scipy", "sklearn", "torch")
NO_FIFTYONE = ("elfs_plugin.runs", "elfs_plugin.cli", "elfs_plugin.__main__")
"""The one part that may need FiftyOne."""


def light_modules():
    """What the contract in pyproject.toml calls light, and the faces of all rooms."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    light = next(contract for contract in contracts if contract["name"].endswith("is light"))["source_modules"]
    faces = [".".join(face.parent.relative_to(ROOT).parts) for face in ROOT.glob("elfs_plugin/**/__init__.py")]
    return sorted({*light, *faces})


def library_modules():
    files = [file.relative_to(ROOT) for file in ROOT.glob("elfs_plugin/**/*.py")]
    names = [".".join((file.parent if file.stem == "__init__" else file.with_suffix("")).parts) for file in files]
    return sorted(name for name in names if not name.startswith(NO_FIFTYONE))


def fresh(code, *arguments):
    """What ``code`` prints as JSON in a new process without FiftyOne, started in the repository."""
    before = "import json, sys; sys.modules['fiftyone'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", before + code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_library_needs_no_fiftyone():
    failed = fresh(
        """
import importlib, traceback
failed = {}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
print(json.dumps(failed))
""",
        *library_modules(),
    )
    assert failed == {}


def test_what_panel_and_forms_read_is_light():
    loaded = fresh(
        f"""
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
from elfs_plugin import selectors
assert all(details["purpose"] for details in selectors.available().values())
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
""",
        *light_modules(),
    )
    assert loaded == []


UNDER_ANOTHER_NAME = """
import importlib, types
home = types.ModuleType("elsewhere")
home.__path__ = [sys.argv[1]]
sys.modules["elsewhere"] = home
"""


def test_selectors_are_found_under_the_name_that_fiftyone_gives_the_package():
    found = fresh(
        UNDER_ANOTHER_NAME
        + """
here, there = (importlib.import_module(f"{root}elfs_plugin.selectors") for root in ("", "elsewhere."))
assert here is not there
print(json.dumps([list(here.available()), list(there.available())]))
""",
        str(ROOT),
    )
    assert found[0] == found[1] and "elfs" in found[0]


def test_compiled_code_is_kept_only_under_a_name_that_can_be_imported_again():
    kept = fresh(
        UNDER_ANOTHER_NAME
        + """
import pkgutil
from numba.core.dispatcher import Dispatcher
kept = []
for root in ("", "elsewhere."):
    engines = importlib.import_module(f"{root}elfs_plugin.selectors.engines")
    paths = {}
    for module in pkgutil.walk_packages(engines.__path__, f"{engines.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == module.name:
                paths[f"{module.name.removeprefix(root)}.{value.py_func.__name__}"] = value.stats.cache_path
    kept.append(paths)
print(json.dumps(kept))
""",
        str(ROOT),
    )
    here, elsewhere = kept
    assert here.keys() == elsewhere.keys()
    assert {name.rsplit(".", 2)[1] for name in here} >= {"largest_product", "draws", "table", "search"}
    assert all(here.values()) and not any(elsewhere.values())


def top_folders(file):
    """The folders of the repository that a file imports from, by whatever kind of import."""
    package = file.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - (node.level - 1)] if node.level else ()
            path = (*base, *(node.module or "").split(".")) if node.module else base
            found |= {path[0]} if path else {alias.name for alias in node.names}
    return found


# The contracts of `make lint` see one package; these three lie side by side and meet above it.
@pytest.mark.parametrize(
    ("folder", "others"),
    [
        ("elfs_plugin", {"operators", "panels", "benchmarks", "scripts", "faults", "tests"}),
        ("operators", {"panels", "benchmarks", "scripts", "faults", "tests"}),
        ("panels", {"operators", "benchmarks", "scripts", "faults", "tests"}),
    ],
)
def test_forms_and_panel_do_not_know_each_other(folder, others):
    files = sorted((ROOT / folder).glob("**/*.py"))
    assert {str(file.relative_to(ROOT)): both for file in files if (both := top_folders(file) & others)} == {}
    assert folder == "elfs_plugin" or any("elfs_plugin" in top_folders(file) for file in files)
