"""Clustering and the β search in a few steps, for tests that are about something else than their results."""

import importlib


def shorten(package, replace=setattr):
    """Shortens both in one copy of the library: ``elfs_plugin``, or the one that FiftyOne has loaded.

    Args:
        replace: called with an object, the name of an attribute and its value
    """
    replace(importlib.import_module(f"{package}.beta_search.search"), "FAST_STEPS", 20)
    presets = importlib.import_module(f"{package}.clustering").ClusteringConfig
    few = presets(heads=2, learning_rate=2e-4, min_steps=30, max_steps=30, warm_start_steps=20)
    for preset in ("quick", "default"):
        replace(presets, preset, staticmethod(lambda: few))
