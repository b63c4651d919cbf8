"""The operators: forms and wiring, no algorithms.

Each has a file of its own name, and ``fiftyone.yml`` lists them in the order of the App's list. This package is
imported once in a process, however often FiftyOne registers.
"""

import importlib
from pathlib import Path

import yaml

from .base import ElfsOperator

MANIFEST = Path(__file__).resolve().parent.parent / "fiftyone.yml"


def _operators():
    names = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["operators"]
    for name in names:
        importlib.import_module(f".{name}", __name__)
    by_name = {operator.operator: operator for operator in ElfsOperator.__subclasses__()}
    return tuple(by_name[name] for name in names)


OPERATORS = _operators()
