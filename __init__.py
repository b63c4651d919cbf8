"""ELFS for FiftyOne: label-free coreset selection.

FiftyOne executes this file on every operator request, so it only registers; imports stay inside the function.
"""


def register(plugin):
    from .operators import OPERATORS
    from .panels import PANELS

    for cls in (*OPERATORS, *PANELS):
        plugin.register(cls)
