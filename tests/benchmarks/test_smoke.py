"""Every benchmark that needs neither images nor the App, on tiny data: it runs to its end and keeps its tables."""

import contextlib
import importlib
import io
import json

import numpy as np
import pytest

from benchmarks import results
from elfs_plugin.cli.commands import main as elfs
from elfs_plugin.clustering.pseudo_labels import ClusteringConfig
from tests.few_steps import candidate_steps

CASES = {
    "beta": (["--seeds", 1, "--repeats", 1, "--budgets", 0.3, "--speed"], {"search", "rules", "pool", "speed"}),
    "beta --synthetic": (["--samples", 50, "--seeds", 1, "--repeats", 1, "--budgets", 0.3], {"rules"}),
    "cluster_count": (["--no-synthetic"], {"suggestions"}),
    "clustering": (["--seeds", 2, "--steps", 1, "--published-heads", 1], {"quality", "speed"}),
    "embedding": (
        ["--images", 16, "--models", "resnet10t", "--rounds", 1, "--workers", 0, "--ways", "here", "dataloader"],
        {"speed", "agreement"},
    ),
    "objects": (["--scenes", 20, "--seeds", 1, "--budgets", 0.2], {"by_images", "by_objects"}),
    "frames": (["--scenes", 6, "--seeds", 1, "--budgets", 0.5], {"budget_3"}),
    "growth": (["--samples", 60, 90, "--dimensions", 4], {"stages_4", "data_4"}),
    "health": (["--rows", 300], {"separation"}),
    "methods": (["--methods", "el2n", "forgetting", "zcore", "--seeds", 2], {"accuracy", "agreement"}),
    "neighbors": (["--k", 5], {"methods"}),
    "out_of_core": (["--rows", 300, "--dimensions", 6, "--brief", "--gigabytes", 1000], {"300", "runs"}),
    "path": (["--budget", 0.3], {"stages", "result"}),
    "precut": (["--kept", 30, "--budgets", 5, 10, "--seeds", 2], {"accuracy", "distance", "pool"}),
    "precut --samples": (
        [
            200,
            "--dimensions",
            4,
            "--classes",
            3,
            "--imbalance",
            4,
            "--kept",
            50,
            "--budgets",
            10,
            "--seeds",
            1,
        ],
        {"accuracy", "distance", "pool"},
    ),
    "proxy": (["--clusters", 3, "--seeds", 2, "--speed"], {"closeness", "speed"}),
    "prune4rel": (["--noise", 0.2, "--budgets", 0.3, "--seeds", 1, "--steps", 5, "--methods", "both"], {"budget_30"}),
    "quality": (["--seeds", 2, "--budgets", 0.3], {"coresets", "pool"}),
    "rounds": (["--seeds", 2, "--batch", 6, "--golden", 10, "--rows", 110], {"golden", "held_out", "reached"}),
    "rounds --long-tail": (["--seeds", 1, "--batch", 5], {"golden", "held_out", "reached"}),
    "selectors": (["--methods", "moderate", "forgetting"], {"seconds", "before"}),
    "shapes": (["--samples", 300, "--seeds", 1], {"accuracy"}),
    "zcore": (["--draws-per-sample", 1, "--plain-draws", 2], {"speed"}),
    "zcore --synthetic": (["50:4:1", "60:4:0.5", "--plain-draws", 2], {"speed"}),
    "zcore --converge": (["--draws-per-sample", 20], {"convergence"}),
}
WITHOUT_FILE = {
    "beta --synthetic",
    "embedding",
    "frames",
    "growth",
    "health",
    "out_of_core",
    "precut --samples",
    "shapes",
    "zcore --synthetic",
}


def in_this_process(module, *arguments):
    """As :func:`benchmarks.common.in_own_process`, without the seconds of a new process."""
    main = elfs if module == "elfs_plugin" else importlib.import_module(module).main
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main([str(argument) for argument in arguments])
    return json.loads(printed.getvalue().strip().splitlines()[-1])


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Arguments for 120 vectors in three groups; clustering, networks and results made small, and kept here."""
    truth = np.repeat(np.arange(3), 40)
    vectors = np.random.default_rng(0).normal(size=(120, 6)) + np.eye(3, 6)[truth]
    np.save(tmp_path / "vectors.npy", vectors.astype(np.float32))
    candidate_steps(5, replace=monkeypatch.setattr)
    few = ClusteringConfig(heads=2, min_steps=4, max_steps=4, warm_start_steps=4)
    for preset in ("quick", "default", "published"):
        monkeypatch.setattr(ClusteringConfig, preset, staticmethod(lambda: few))
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    for name in ("embedding", "growth", "methods", "out_of_core", "zcore"):
        monkeypatch.setattr(f"benchmarks.{name}.in_own_process", in_this_process)
    return ["--embeddings", tmp_path / "vectors.npy", "--labels", "per-class:3"]


@pytest.mark.parametrize("case", CASES)
def test_it_runs_and_keeps_its_tables(case, tiny, tmp_path, capsys):
    name, *flags = case.split()
    arguments, tables = CASES[case]
    data = [] if case in WITHOUT_FILE else tiny
    importlib.import_module(f"benchmarks.{name}").main([*data, *flags, *arguments, "--save", "tiny"])
    kept = results.read(tmp_path / "results" / f"{name}-tiny.json")
    assert set(kept.tables) == tables
    printed = capsys.readouterr().out
    assert all(table.rows and table.markdown() in printed for table in kept.tables.values())
    assert kept.command[0].startswith(f"python -m benchmarks.{name} ") and str(tmp_path) not in kept.command[0]
