"""The options of labelling tools, as inputs of a form and as parameters."""

import fiftyone.operators.types as types

from .parameters import TOOL, without
from .round_forms import problem_of, refuse_beside

SECRET = "Not kept. Delegated, it waits in the queue as it is: set it in the environment of the App instead"


def option_inputs(ctx, inputs, tool, earlier, otherwise):
    """The inputs of a :class:`~..elfs_plugin.runs.rounds.backends.base.Backend`.

    Args:
        earlier: values of another time, or None
        otherwise: the input that shows what is wrong with an option that has none
    """
    from ..elfs_plugin.runs.rounds.tool_options import complete

    for option in tool.options:
        text = f"{option.description} ({SECRET})".strip() if option.secret else option.description
        common = {"required": False, "label": option.label, "description": text}
        value = (earlier or {}).get(option.name, option.default)
        default = {} if value is None or option.secret else {"default": value}
        name = TOOL + option.name
        if option.kind is bool:
            inputs.bool(name, **default, **common)
        elif option.kind is int:
            inputs.int(name, **default, **common)
        else:
            view = types.FieldView(componentsProps={"field": {"type": "password"}}) if option.secret else None
            inputs.str(name, **default, **common, **({"view": view} if view else {}))
    refuse_beside(inputs, problem_of(complete, tool, options_of(ctx.params, tool), earlier), otherwise, TOOL)


def options_of(params, tool):
    """{name: value} of the options of a tool that were given, one by one or as ``options``."""
    known = {option.name for option in tool.options}
    own = {name.removeprefix(TOOL): value for name, value in params.items() if name.startswith(TOOL)}
    return {**{name: value for name, value in own.items() if name in known}, **params.get("options", {})}


def check_options(params, tool):
    """Refuses options of other tools. A form sends what was typed before another tool was chosen."""
    known = {TOOL + option.name for option in tool.options}
    others = [name for name in params if name.startswith(TOOL) and name not in known]
    without(params, others, f"{tool.title} has no such option.")
