"""Clustering and the β search in a few steps, for tests that are about something else than their results."""

import contextlib
import dataclasses
import importlib

PLUGIN = "fiftyone.plugins.orgs.elfs.coreset"
"""The package name under which FiftyOne imports this repository."""


def shorten(package, replace=setattr):
    """Shortens both in one copy of the library: ``elfs_plugin``, or the one that FiftyOne has loaded.

    Args:
        replace: called with an object, the name of an attribute and its value
    """
    candidate_steps(20, replace=replace, package=package)
    presets = importlib.import_module(f"{package}.clustering").ClusteringConfig
    few = presets(heads=2, learning_rate=2e-4, min_steps=30, max_steps=30, warm_start_steps=20)
    for preset in ("quick", "default"):
        replace(presets, preset, staticmethod(lambda: few))


def candidate_steps(steps, kind="mlp", *, replace=setattr, package="elfs_plugin"):
    """Trains a candidate of a β search, and with it every probe, for so many steps; arguments as of :func:`shorten`."""
    kinds = importlib.import_module(f"{package}.proxy.kinds")
    row = kinds.KINDS[kind]
    fewer = dataclasses.replace(row, candidate={**row.candidate, "steps": steps})
    replace(kinds, "KINDS", {**kinds.KINDS, kind: fewer})


@contextlib.contextmanager
def few_steps():
    """A block in which both copies of the library are shortened, for FiftyOne loads its own."""
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        for package in (f"{PLUGIN}.elfs_plugin", "elfs_plugin"):
            shorten(package, patch.setattr)
        yield
