"""Public functions say what they take and return. Whether it is true, `make lint` asks mypy."""

import ast
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # which mypy brings along

ROOT = Path(__file__).resolve().parent.parent
LISTED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["files"]


def _files():
    """The files that mypy looks at: of each entry a file, a pattern or a folder."""
    found = [path for entry in LISTED for path in ROOT.glob(entry)]
    return sorted(file for path in found for file in (path.rglob("*.py") if path.is_dir() else [path]))


def _is_public(name):
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def _public_functions(body, owner=""):
    for node in body:
        if isinstance(node, ast.ClassDef) and _is_public(node.name):
            yield from _public_functions(node.body, f"{owner}{node.name}.")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _is_public(node.name):
            yield owner + node.name, node


def _untyped(source):
    """What lacks a type in the public functions of a module's source, as ``name(parameter)`` or ``name()``."""
    found = []
    for name, function in _public_functions(ast.parse(source).body):
        taken = function.args
        parameters = [*taken.posonlyargs, *taken.args, *taken.kwonlyargs, taken.vararg, taken.kwarg]
        given = [p.arg for p in parameters if p is not None and p.annotation is None and p.arg not in ("self", "cls")]
        found += [f"{name}({parameter})" for parameter in given]
        found += [] if function.returns is not None else [f"{name}()"]
    return found


@pytest.mark.parametrize("entry", LISTED)
def test_what_mypy_looks_at_is_there(entry):
    assert list(ROOT.glob(entry))


@pytest.mark.parametrize("path", _files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_public_functions_have_types(path):
    # A module's own __getattr__ and __dir__ are Python's.
    assert [name for name in _untyped(path.read_text(encoding="utf-8")) if not name.startswith("__")] == []


def test_a_missing_type_is_found():
    source = """
def good(a: int, *rest: str) -> None: ...
def bad(a, *, b: int = 0, **more): ...
def _helper(a): ...
class Shown:
    def __init__(self, a) -> None: ...
    @property
    def size(self): ...
    def _hidden(self, a): ...
class _Hidden:
    def method(self, a): ...
"""
    assert _untyped(source) == ["bad(a)", "bad(more)", "bad()", "Shown.__init__(a)", "Shown.size()"]
