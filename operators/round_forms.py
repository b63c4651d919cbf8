"""The inputs that forms about rounds share, and how a refusal finds its input."""

import fiftyone.operators.types as types

from .inputs import check, checked, choices, refuse


def round_input(ctx, inputs, run, suits):
    """A round of a run (a :class:`~..elfs_plugin.runs.Run`): the :class:`~..elfs_plugin.runs.rounds.state.Round`, or
    None when the input is refused; ``suits(round)`` raises :class:`InvalidInput` for those that cannot be chosen."""
    found = _suiting(run.record, suits)
    view = choices(types.DropdownView(), {one.number: f"Round {one.number} ({one.state})" for one in found})
    default = {"default": found[-1].number} if found else {}
    prop = inputs.int("round", **default, required=False, label="Round", view=view)
    one = checked(prop, chosen_round, ctx, suits)
    return one if one is not None and check(prop, suits, one) else None


def chosen_round(ctx, suits):
    """The round of the parameters, else the last one that ``suits``, see :func:`round_input`.

    Raises:
        InvalidInput: when there is none
    """
    from ..elfs_plugin.runs import Run
    from ..elfs_plugin.runs.rounds import state

    record, number = Run(ctx.dataset, ctx.params.get("key", "elfs")).record, ctx.params.get("round")
    found = _suiting(record, suits)
    return found[-1] if found and number is None else state.round_of(record, number)


def _suiting(record, suits):
    from ..elfs_plugin.runs.rounds import state

    return [one for one in state.rounds_of(record) if problem_of(suits, one) is None]


def texts_input(ctx, inputs, name, label, description):
    """Texts with commas between; from Python also a list."""
    options = {"required": False, "label": label, "description": description}
    if isinstance(ctx.params.get(name), list):
        return inputs.list(name, types.String(), **options)
    return inputs.str(name, **options)


def problem_of(function, *args):
    """The :class:`ElfsError` that a function raises, or None."""
    from ..elfs_plugin.errors import ElfsError

    try:
        function(*args)
    except ElfsError as error:
        return error
    return None


def refuse_beside(inputs, error, otherwise, prefix=""):
    """Shows an error beside the input that it is about, or where there is none ``otherwise``; None changes nothing."""
    if error is not None:
        field = getattr(error, "field", None)
        refuse(inputs.properties.get(f"{prefix}{field}") or inputs.properties[otherwise], str(error))
