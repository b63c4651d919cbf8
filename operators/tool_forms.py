"""The options of labelling tools, as inputs of a form and as parameters."""

import fiftyone.operators.types as types

from .parameters import TOOL

SECRET = "Not kept. Delegated, it waits in the queue as it is: set it in the environment of the App instead"


def option_inputs(inputs, tool, given=None):
    """The inputs of a :class:`~..elfs_plugin.runs.rounds.backends.base.Backend`; ``given``: values of another time."""
    for option in tool.options:
        text = f"{option.description} ({SECRET})".strip() if option.secret else option.description
        common = {"required": False, "label": option.label, "description": text}
        value = (given or {}).get(option.name, option.default)
        default = {} if value is None or option.secret else {"default": value}
        name = TOOL + option.name
        if option.kind is bool:
            inputs.bool(name, **default, **common)
        elif option.kind is int:
            inputs.int(name, **default, **common)
        else:
            view = types.FieldView(componentsProps={"field": {"type": "password"}}) if option.secret else None
            inputs.str(name, **default, **common, **({"view": view} if view else {}))


def options_of(params, tool):
    """{name: value} of the options of a tool that were given, one by one or as ``options``."""
    known = {option.name for option in tool.options}
    own = {name.removeprefix(TOOL): value for name, value in params.items() if name.startswith(TOOL)}
    return {**{name: value for name, value in own.items() if name in known}, **params.get("options", {})}
