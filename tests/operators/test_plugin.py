import importlib
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import fiftyone.operators as foo
import fiftyone.plugins as fop
import pytest
import yaml
from fiftyone.operators.executor import ExecutionContext
from fiftyone.plugins.context import build_plugin_contexts

ROOT = Path(__file__).resolve().parents[2]
OPERATORS = yaml.safe_load((ROOT / "fiftyone.yml").read_text(encoding="utf-8"))["operators"]
SHORT = {"export_coreset", "delete_run", "repair_run"}

HEAVY = """
import json, sys
import fiftyone.operators as foo
before = set(sys.modules)
names = [o.uri for o in foo.list_operators() if o.uri.startswith("@elfs/")]
new = {m.split(".")[0] for m in set(sys.modules) - before}
print("RESULT" + json.dumps([names, sorted(new & {"torch", "torchvision", "timm", "open_clip", "sklearn", "faiss"})]))
"""


def test_the_plugin_loads_without_errors():
    contexts = build_plugin_contexts()
    assert [context.errors for context in contexts if context.errors] == []
    assert "@elfs/coreset" in [context.name for context in contexts]


def test_all_operators_and_the_panel_are_registered():
    uris = {operator.uri for operator in foo.list_operators() if operator.uri.startswith("@elfs/coreset/")}
    assert uris == {f"@elfs/coreset/{name}" for name in (*OPERATORS, "coreset_panel")}
    assert fop.get_plugin("@elfs/coreset").operators == [*OPERATORS, "coreset_panel"]


def test_every_operator_is_in_a_file_of_its_name_and_in_the_list(plugin):
    package, base = plugin("operators"), plugin("operators.base").ElfsOperator
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        own = [cls for cls in vars(module).values() if isinstance(cls, type) and cls.__module__ == module.__name__]
        found.update({cls.operator: info.name for cls in own if issubclass(cls, base) and cls is not base})
    assert found == {name: name for name in OPERATORS}
    assert [operator.operator for operator in package.OPERATORS] == OPERATORS


def test_registration_imports_nothing_heavy():
    result = subprocess.run([sys.executable, "-c", HEAVY], capture_output=True, text=True, cwd="/")
    line = next((line for line in result.stdout.splitlines() if line.startswith("RESULT")), result.stderr)
    names, heavy = json.loads(line.removeprefix("RESULT"))
    assert len(names) == len(OPERATORS) + 1
    assert heavy == []


@pytest.mark.parametrize("name", OPERATORS)
def test_the_configuration_of_an_operator(operator, name):
    config = operator(name).config
    assert config.label.startswith("ELFS: ")
    assert config.description
    assert config.dynamic and config.allow_immediate_execution
    assert config.allow_delegated_execution == config.execute_as_generator == (name not in SHORT)
    for icon in (config.icon, config.light_icon, config.dark_icon):
        assert (ROOT / icon.lstrip("/")).is_file()


def test_the_button_over_the_grid(operator):
    """FiftyOne asks every operator for its place after every change, also without a dataset."""
    place = operator("run_elfs").resolve_placement(ExecutionContext()).to_json()
    assert (place["place"], place["view"]["icon"]) == ("samples-grid-secondary-actions", "/assets/elfs.svg")
    assert [name for name in OPERATORS if operator(name).resolve_placement(ExecutionContext())] == ["run_elfs"]


def test_large_datasets_are_offered_to_a_worker(operator, plugin, dataset, monkeypatch):
    context = ExecutionContext({"dataset_name": dataset.name})
    assert not operator("run_elfs").resolve_execution_options(context).default_choice_to_delegated
    assert not operator("run_elfs").resolve_execution_options(ExecutionContext()).default_choice_to_delegated
    monkeypatch.setattr(plugin("operators.run_elfs"), "DELEGATE_ABOVE", 79)
    assert operator("run_elfs").resolve_execution_options(context).default_choice_to_delegated
