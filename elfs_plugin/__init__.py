"""ELFS: label-free coreset selection, and the systems that stand beside it.

Everything here except :mod:`elfs_plugin.runs`, :mod:`elfs_plugin.cli` and :mod:`elfs_plugin.demo` takes arrays and
returns arrays and never imports FiftyOne, so it runs as it is on a machine that has none.
"""

__version__ = "0.1.0"
