"""What opens in the App must not wait for PyTorch, Numba or FAISS: their first import takes seconds."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "timm", "open_clip", "numba", "faiss", "sklearn", "umap")

OPENS = """
import asyncio, json, sys
import fiftyone as fo
import fiftyone.operators as foo
from fiftyone.operators.executor import resolve_type
from fiftyone.operators.registry import OperatorRegistry

name, heavy, views = json.loads(sys.argv[1])
view = fo.load_dataset(name).view()._serialize()
own = set(heavy) & set(sys.modules)  # FiftyOne's
found = {}

def note(what, error):
    loaded = sorted((set(heavy) & set(sys.modules)) - own)
    found[what] = [loaded, error]

for operator in OperatorRegistry().list_operators():
    short = operator.uri.removeprefix("@elfs/coreset/")
    if short == operator.uri or short == "coreset_panel":
        continue
    for params in views.get(short, [{}]):
        context = {"dataset_name": name, "operator_uri": operator.uri, "view": view, "params": params}
        form = asyncio.run(resolve_type(OperatorRegistry(), operator.uri, context))
        refused = form.type.properties.get("refused")
        note(f"{short} {params}", refused and refused.error_message)
for tab in ("tune", "recommended", "label", "clusters", "compare", "budget", "audit"):
    params = {"__method__": "on_load", "panel_id": "panel", "panel_state": {"tab": tab}}
    context = {"dataset": fo.load_dataset(name), "params": params}
    drawn = foo.execute_operator("@elfs/coreset/coreset_panel", context)
    output = [r["params"] for r in drawn.executor.to_json()["requests"] if r["operator_uri"] == "show_panel_output"]
    note(f"panel {tab}", None if "failed" not in output[0]["output"]["type"]["properties"] else "failed")
print("RESULT" + json.dumps(found))
"""
CHOICES = {
    "run_elfs": [{}, {"source": "field"}, {"beta_mode": "manual", "num_clusters": 3}, {"clusters_mode": "auto"}],
    "compare_coresets": [{"members": ["run:elfs", "tag:coreset"]}],
    "measure_stability": [{"coreset": "settings"}],
    "export_coreset": [{"path": "/never/written.csv"}],
    "audit": [{"truth_field": "filepath"}],
    "select_coreset": [{}, {"method": "zcore"}, {"method": "herding", "veto_mode": "similarity"}],
}


IN_ROUNDS = {
    "next_batch": [{}, {"target": "failures"}, {"budget": 3, "share": 0.5, "classes": "cat"}],
    "send_batch": [{}, {"to": "files"}, {"to": "cvat"}, {"to": "labelstudio", "annotators": "ann, ben"}],
    "take_back": [{}, {"round": 0}],
}


@pytest.fixture(scope="module")
def in_rounds(new_dataset, operator):
    """A dataset with a round that was sent, and one that was not."""
    dataset = new_dataset(60)
    operator("run_elfs")(dataset, num_clusters=5, budget=10, beta=0.1)
    operator("next_batch")(dataset, budget=5, classes="cat, dog", golden=0)
    operator("send_batch")(dataset)
    operator("next_batch")(dataset, budget=5)
    return dataset


@pytest.fixture(scope="module")
def opened(finished):
    return opens(finished[0], CHOICES)


def opens(dataset, choices):
    """What has been imported after each form, and each tab of the panel, in one fresh process."""
    arguments = json.dumps([dataset.name, HEAVY, choices])
    done = subprocess.run([sys.executable, "-c", OPENS, arguments], capture_output=True, text=True, cwd="/")
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stderr
    return json.loads(lines[0].removeprefix("RESULT"))


def test_nothing_heavy_is_imported(opened):
    assert {what: loaded for what, (loaded, _) in opened.items() if loaded} == {}


def test_all_of_them_were_opened(opened, plugin):
    names = {what.partition(" ")[0] for what in opened}
    operators = {operator.operator for operator in plugin("operators").OPERATORS}
    assert names == operators | {"panel"}
    assert {what: error for what, (_, error) in opened.items() if error} == {}


def test_nothing_heavy_is_imported_for_rounds(in_rounds):
    found = opens(in_rounds, IN_ROUNDS)
    assert {what: loaded for what, (loaded, _) in found.items() if loaded} == {}
    asked = {f"{name} {params}" for name, cases in IN_ROUNDS.items() for params in cases}
    assert {what: found[what][1] for what in asked} == dict.fromkeys(asked)
