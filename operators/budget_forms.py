"""Budgets and β: how they are asked for, and how they are read back."""

from .inputs import check, checked, choice_input

UNITS = {"percent": "Percent", "images": "Images"}
BETA = 0.2
"""What a β by hand starts with."""


def budget_inputs(ctx, inputs, n, cut_away=0):
    """The budget as a percentage or as a number of images of n; returns it resolved, or None when invalid. ``cut_away``
    images have no score, for a pre-cut has left them out."""
    from ..elfs_plugin.pruning.zones import resolve_budget
    from ..elfs_plugin.runs import noun_of

    noun = noun_of(ctx.dataset)
    units = {**UNITS, "images": noun.many.capitalize()}
    choice_input(inputs, "budget_unit", units, "percent", "Budget in")
    text = f"How many of the {noun.count(n)} to keep"
    if cut_away:
        text += f". A percentage is one of these; the {cut_away:,} that the pre-cut left out do not count here"
    prop = inputs.float("budget", default=10, required=False, label="Budget", description=text)
    return checked(prop, lambda: resolve_budget(budget_of(ctx.params), n))


def budget_of(params):
    """The budget of the parameters as :func:`resolve_budget` takes it: a float fraction or a whole number.

    Forms send ``budget_unit``; without it (Python) a fraction up to 1 or a count is meant.
    """
    from ..elfs_plugin.errors import InvalidInput
    from ..elfs_plugin.pruning.zones import as_budget

    unit = params.get("budget_unit") or ("percent" if "budget" not in params else None)
    given = params.get("budget", 10)
    value = as_budget(given)
    if isinstance(given, str) and isinstance(value, float):
        unit = None  # a percent sign, or a fraction, says it all
    if value != value:
        raise InvalidInput("The budget must be a number, not nan.", "budget")
    if unit == "percent":
        if not 0 < value <= 100:
            raise InvalidInput(f"The budget must be above 0% and at most 100%; it is {value}%.", "budget")
        return float(value) / 100
    if unit == "images":
        if not float(value).is_integer():
            raise InvalidInput(f"The number of images must be a whole number; it is {value}.", "budget")
        return int(value)
    return value


def budgets_input(ctx, inputs, run, description, default=None):
    """Several budgets as a text, checked where there is a run (a record)."""
    prop = inputs.str("budgets", default=default, required=False, label="Budgets", description=description)
    if run is not None:
        check(prop, _check_budgets, budgets_of(ctx.params, default), run.stages["scores"]["scored"])


def budgets_of(params, default=None):
    """The budgets as a text; None where neither the parameters nor a default name any."""
    given = params.get("budgets")
    return given if given and given.strip() else default


def parsed(budgets):
    """The budgets of a text, see :func:`~..elfs_plugin.pruning.zones.parse_budgets`; of None, None."""
    from ..elfs_plugin.pruning.zones import parse_budgets

    return None if budgets is None else parse_budgets(budgets)


def _check_budgets(budgets, n):
    from ..elfs_plugin.pruning.zones import resolve_budget

    for budget in parsed(budgets) or []:
        resolve_budget(budget, n)


def beta_inputs(ctx, inputs, budget, n, searched=None):
    """β: found by the search or set by hand; validated against the budget."""
    from ..elfs_plugin.pruning.zones import resolve_beta

    auto = "Search β on the pseudo-labels"
    if searched is not None:
        auto = f"Use the β of the last search ({searched:.2g})"
    choice_input(inputs, "beta_mode", {"auto": auto, "manual": "Set β by hand"}, "auto", "β")
    if beta_mode(ctx.params) == "manual":
        prop = inputs.float(
            "beta", default=BETA, required=False, label="β", description="Fraction of all images dropped as too hard"
        )
        if budget is not None:
            check(prop, resolve_beta, ctx.params.get("beta", BETA), budget, n)


def beta_mode(params, otherwise="auto"):
    """``"manual"``, or what there is otherwise; a β given from Python means manual."""
    return params.get("beta_mode") or (otherwise if params.get("beta") in (None, "auto") else "manual")


def beta_of(params, otherwise="auto"):
    """The β that was set by hand, or what there is otherwise."""
    return params.get("beta", BETA) if beta_mode(params) == "manual" else otherwise
