"""Inputs of any form: lists of choices, whole numbers, and how an input says what is wrong with it."""

import fiftyone.operators.types as types

from .parameters import AS_SET


def choices(view, values, *, described=False):
    """``view`` with its choices.

    Args:
        values: names that speak for themselves, or a dict of value -> label
        described: the dict holds descriptions, and each value is its own label
    """
    texts = values if isinstance(values, dict) else {value: value for value in values}
    for value, text in texts.items():
        words = {"label": value, "description": text} if described else {"label": text}
        view.add_choice(value, **words)
    return view


def choice_input(inputs, name, values, default, label, *, view=types.RadioGroup, described=False, **options):
    """One of a few values, see :func:`choices`; any other is refused by the base class of the operators."""
    shown = choices(view(), values, described=described)
    return inputs.enum(name, shown.values(), default=default, required=False, label=label, view=shown, **options)


def suggestions_input(inputs, name, values, label, *, described=False, **options):
    """A text; the values, see :func:`choices`, are suggestions."""
    shown = choices(types.AutocompleteView(allow_user_input=True), values, described=described)
    return inputs.str(name, required=False, label=label, view=shown, **options)


def whole_number_input(ctx, inputs, name, default, low, high, label, description):
    """A whole number from ``low`` to ``high``."""
    from ..elfs_plugin.errors import InvalidInput

    prop = inputs.int(name, default=default, required=False, label=label, description=description)

    def valid():
        if not low <= ctx.params.get(name, default) <= high:
            raise InvalidInput(f"{label} must be a whole number from {low} to {high}.", name)

    check(prop, valid)


def seed_input(inputs):
    inputs.int("seed", default=0, required=False, label="Seed", description="Same seed, same result")


ENGINE_LABELS = {
    AS_SET: "As the worker is set (ELFS_ENGINE; where that says nothing, in threads)",
    "local": "This machine, in threads",
    "ray": "Ray: worker processes here, or a cluster. Schedule the operator, it does not run in the App itself",
}


def engine_inputs(ctx, inputs):
    """What runs independent pieces of work, where there is a choice."""
    from ..elfs_plugin.engine import names

    chosen = ctx.params.get("engine")
    if names.available() == [names.ENGINES[0]] and chosen is None:
        return
    offered = {name: ENGINE_LABELS[name] for name in (AS_SET, *names.available())}
    choice_input(inputs, "engine", offered, AS_SET, "Engine")
    if chosen == "ray":
        prop = inputs.str(
            "address",
            required=False,
            label="Address of the Ray cluster",
            description="HOST:PORT or auto; empty: a cluster on the worker's machine, for this job alone",
        )
        check(prop, names.check, "ray", ctx.params.get("address"))


def engine_of(params):
    """(engine, address) that were chosen. A form also sends an address typed before another engine was."""
    engine, address = params.get("engine"), params.get("address")
    if engine == AS_SET:
        return None, None
    return engine, None if engine == "local" else address


def check_engine(params):
    """Raises :class:`InvalidInput` for an address that would have no effect, see :func:`engine_of`."""
    from ..elfs_plugin.engine.names import check as check_names

    engine = params.get("engine")
    check_names("local" if engine == AS_SET else engine, params.get("address"))


def check(prop, function, *args):
    """Marks a property invalid with the message of the :class:`ElfsError` that ``function`` raises. Returns success."""
    checked(prop, function, *args)
    return not prop.invalid


def checked(prop, function, *args):
    """What ``function`` returns; None, and the property marked invalid, where it raises an :class:`ElfsError`."""
    from ..elfs_plugin.errors import ElfsError

    try:
        return function(*args)
    except ElfsError as error:
        refuse(prop, str(error))
        return None


def refuse(prop, message):
    prop.invalid = True
    prop.error_message = message


def pick(params, *names):
    """The named parameters that were given (not None, not empty)."""
    return {name: params[name] for name in names if params.get(name) not in (None, "")}
