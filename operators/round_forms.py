"""Which round of a run a form is about."""

import fiftyone.operators.types as types

from .inputs import choices


def round_input(ctx, inputs, run, wanted, default=None):
    """A round of a run (a :class:`~..elfs_plugin.runs.Run`) that is ``wanted(round)``: the
    :class:`~..elfs_plugin.runs.rounds.state.Round`, or None when there is none or the input is refused."""
    from ..elfs_plugin.runs.rounds import state
    from .inputs import checked

    found = [one for one in state.rounds_of(run.record) if wanted(one)]
    if found:
        default = found[-1].number if default is None else default
    view = choices(types.DropdownView(), {one.number: f"Round {one.number} ({one.state})" for one in found})
    prop = inputs.int("round", default=default, required=False, label="Round", view=view)
    number = ctx.params.get("round", default)
    return checked(prop, state.round_of, run.record, number)
