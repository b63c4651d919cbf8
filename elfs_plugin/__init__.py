"""ELFS: label-free coreset selection, and the systems that stand beside it.

Everything here except :mod:`elfs_plugin.runs` and :mod:`elfs_plugin.cli` takes arrays and returns arrays and never
imports FiftyOne, so it runs as it is on a machine that has none.
"""

import os

__version__ = "0.4.0"

# PyTorch's threads on a CPU otherwise spin while they wait for each other. On cores that other work uses too, that made
# a clustering ten times slower; read when PyTorch is loaded, and what a user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
