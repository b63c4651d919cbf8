"""The parameters that operators are given, from a form, from Python or in a queue: known by name, in plain types.

:func:`read` runs before a form is made, so that no form sees a value of another type than it declares.
"""

import enum
import os

import numpy as np

from ..elfs_plugin import validation
from ..elfs_plugin.errors import InvalidInput
from ..elfs_plugin.precut.size import check_precut
from ..elfs_plugin.pruning.zones import as_beta, as_budget
from ..elfs_plugin.suggestions import did_you_mean
from ..elfs_plugin.text import is_text
from ..elfs_plugin.validation import plain_number, shown, whole_number

PREFIX = "param_"
"""Of the parameters of selection methods."""

TOOL = "tool_"
"""Of the options of labelling tools."""

NAME = "name_"
"""Of the names of tags and views of rounds."""

INDEX = "index:"
"""Before the brain key of a similarity index, where a form offers vector fields and indexes in one list."""

ROW = "row_"
"""Of the settings of kinds of rows."""

AS_SET = "default"
"""The choice of a form to leave the engine to the environment of whatever runs the operator."""

COMMON = ("key", "progress")
"""What every operator takes."""

APPS_OWN = (
    "view_target",
    "custom_view_target",
    "panel_id",
    "panel_state",
    "refused",
    "what",
    "about",
    "advice",
    "veto_preview",
    "clusters_note",
)
"""What the App may send besides: FiftyOne's own parameters, and the notices of the forms."""


def read(given, takes):
    """The parameters in plain Python types, without those that are None or empty; and what is wrong with the others.

    Args:
        takes: the names that the operator takes besides :data:`COMMON`; ``param_*``: those of selection methods

    Returns:
        (name -> value, name -> sentence)
    """
    params, refused = {}, {}
    known = _known(takes)
    for name, value in given.items():
        try:
            value = _plain(value)
            if value is None or (isinstance(value, str) and value == ""):
                continue
            if name not in known and name not in APPS_OWN:
                raise InvalidInput(_unknown(name, known))
            kind = _single if name.startswith((PREFIX, TOOL, NAME, ROW)) else _KINDS.get(name)
            value = value if kind is None else kind(name, value)
            if value is not None:
                params[name] = value
        except InvalidInput as error:
            refused[name] = str(error)
    for units in (_budget_units, _beta_mode, _veto, _vectors):
        try:
            units(params)
        except InvalidInput as error:
            refused[error.field] = str(error)
            params.pop(error.field, None)
    return params, refused


def without(params, names, reason):
    """Raises :class:`InvalidInput` when one of the names was given, with the reason why it would have no effect."""
    for name in names:
        if name in params:
            raise InvalidInput(f"{name}={shown(params[name])} would have no effect: {reason}", name)


def _known(takes):
    known = [*COMMON, *(name for name in takes if name not in _FAMILIES)]
    for prefix in takes:
        if prefix in _FAMILIES:
            known += [f"{prefix}{name}" for name in _FAMILIES[prefix]()]
    return list(dict.fromkeys(known))


def _of_methods():
    from ..elfs_plugin import selectors

    return [parameter.name for details in selectors.available().values() for parameter in details["parameters"]]


def _of_tools():
    from ..elfs_plugin.runs.rounds.backends.registry import backends

    return [option.name for tool in backends().values() for option in tool.options]


def _of_rounds():
    from ..elfs_plugin.runs.rounds.names import NAMES

    return list(NAMES)


def _of_rows():
    from ..elfs_plugin.nouns import KINDS
    from ..elfs_plugin.runs import kinds

    found = [kinds.kind(name) for name in KINDS]
    return list(dict.fromkeys(p.name for kind in found for p in (*kind.parameters, *kind.options)))


_FAMILIES = {ROW: _of_rows, PREFIX: _of_methods, TOOL: _of_tools, NAME: _of_rounds}
"""Prefix -> the names that can follow it."""


def _unknown(name, known):
    listed = [other for other in known if not other.startswith((PREFIX, TOOL, NAME, ROW))]
    return f"There is no parameter '{name}'.{did_you_mean(name, known)} This operator takes: {', '.join(listed)}."


def _plain(value):
    """Numbers, texts and arrays of NumPy and others, members of an Enum, tuples and paths as Python's own."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, np.ndarray) and value.ndim:
        value = list(value)
    value = plain_number(value)
    if isinstance(value, int) and abs(value) >= 2**63:  # the database keeps no larger ones
        if abs(value) > 1e300:
            raise InvalidInput("A number with more than 300 digits can be no parameter.")
        return float(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [_plain(item) for item in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _text(name, value):
    if not isinstance(value, str):
        raise InvalidInput(f"{name} must be a text, not {shown(value)}.", name)
    if "\0" in value or not is_text(value):
        raise InvalidInput(f"{name} holds a character that no database can keep: {shown(value)}.", name)
    return str(value)


def _single(name, value):
    if not isinstance(value, (str, bool, int, float)):
        raise InvalidInput(f"{name} must be a number, a text, True or False, not {shown(value)}.", name)
    return value


def _texts(name, value):
    """A list of texts, also of one text with commas."""
    if isinstance(value, str):
        value = [part.strip() for part in value.replace(";", ",").split(",") if part.strip()]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInput(f"{name} must be a list of texts, not {shown(value)}.", name)
    return value


def _names(name, value):
    """A text with commas, or a list of texts, whose commas stay."""
    return value if isinstance(value, str) else _texts(name, value)


def _whole(name, value):
    found = whole_number(value)
    if found is None:
        raise InvalidInput(f"{name} must be a whole number, not {shown(value)}.", name)
    return found


def _number(name, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidInput(f"{name} must be a number, not {shown(value)}.", name)
    return value


def _flag(name, value):
    if not isinstance(value, bool):
        raise InvalidInput(f"{name} is either True or False, not {shown(value)}.", name)
    return value


def _clusters(name, value):
    if isinstance(value, str):
        if value.strip().lower() == "auto":
            return "auto"
        value = int(value) if value.strip().isdecimal() else value
    found = whole_number(value)
    if found is None:
        raise InvalidInput(f"The number of clusters must be a whole number or 'auto', not {shown(value)}.", name)
    return found


def _precut(name, value):
    if isinstance(value, str):
        value = value.strip().lower()
        value = int(value) if value.isdecimal() else value
    return str(check_precut(value))  # the form has a text for it


def _budget(name, value):
    # A text keeps its percent sign, which decides together with the unit, see _budget_units.
    number = as_budget(value)
    return value.strip() if isinstance(value, str) and value.strip().endswith("%") else number


def _progress(name, value):
    if isinstance(value, bool):
        return "terminal" if value else None
    return _text(name, value)


def _budget_unit(name, value):
    if value not in ("percent", "images"):
        raise InvalidInput(f"Unknown budget_unit {shown(value)}. Use one of: percent, images.", name)
    return str(value)


def _budgets(name, value):
    """Budgets as one text: a list of them, or a single one, is taken as well."""
    if isinstance(value, str):
        return value
    found = [as_budget(item) for item in (value if isinstance(value, list) else [value])]
    return ", ".join(str(item) for item in found) or None


def _beta(name, value):
    if isinstance(value, str) and value.strip().lower() in ("auto", "usual"):
        return value.strip().lower()
    return as_beta(value)


def _grid(name, value):
    return [as_beta(item) for item in (value if isinstance(value, list) else [value])]


def _mapping(name, value):
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} must be a dict, not {shown(value)}.", name)
    return value


def _members(name, value):
    """A list of texts and dicts; a text holds one in each line, or ``;`` between them."""
    if isinstance(value, str):
        return [text.strip() for line in value.splitlines() for text in line.split(";") if text.strip()]
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list) or not all(isinstance(item, (str, dict)) for item in value):
        raise InvalidInput(f"{name} must be a list of texts or dicts, not {shown(value)}.", name)
    return value


def _device(name, value):
    value = _text(name, value)
    if value != "auto":
        from ..elfs_plugin.devices import resolve_device

        resolve_device(value)
    return value


def _engine(name, value):
    from ..elfs_plugin.engine.names import check

    if _text(name, value) != AS_SET:
        check(value)
    return value


_KINDS = {
    **dict.fromkeys(
        (
            "key",
            "encoder",
            "weights",
            "embeddings_field",
            "source",
            "clusters_mode",
            "preset",
            "beta_mode",
            "proxy",
            "beta_proxy",
            "score",
            "tag",
            "view_name",
            "method",
            "learner",
            "quota",
            "labels_field",
            "locked_tag",
            "kept_tag",
            "veto_mode",
            "truth_field",
            "coreset",
            "format",
            "zone",
            "path",
            "view_target",
            "target",
            "failures_tag",
            "to",
            "prelabels",
            "address",
            "kind",
            "dataset_name",
            "cost",
        ),
        _text,
    ),
    **dict.fromkeys(("seeds", "repeats", "golden", "round", "control", "chunk", "sequence"), _whole),
    **dict.fromkeys(("veto_share", "share", "gap"), _number),
    **dict.fromkeys(("overwrite", "close", "other_names", "write_back"), _flag),
    **dict.fromkeys(("names", "options"), _mapping),
    **dict.fromkeys(("classes", "annotators"), _names),
    "class_budgets": lambda name, value: value if isinstance(value, str) else _mapping(name, value),
    "methods": _texts,
    "similarity_index": lambda name, value: _text(name, getattr(value, "key", value)),
    "per_parent": lambda name, value: str(_whole(name, value)) if whole_number(value) else _text(name, value),
    "progress": _progress,
    "num_clusters": _clusters,
    "precut": _precut,
    "budget": _budget,
    "budget_unit": _budget_unit,
    "budgets": _budgets,
    "beta": _beta,
    "grid": _grid,
    "members": _members,
    "seed": lambda _, value: validation.validate_seed(value),
    "neighbors": lambda _, value: validation.validate_neighbors(value),
    "image_size": lambda _, value: validation.validate_image_size(value),
    "epochs": lambda _, value: validation.validate_epochs(value),
    "device": _device,
    "engine": _engine,
}


def _budget_units(params):
    """``"10%"`` as the number that the unit asks for."""
    budget, unit = params.get("budget"), params.get("budget_unit")
    if not isinstance(budget, str):
        return
    if unit == "images":
        raise InvalidInput(f"The budget is to be in images; it is {budget}. Give a whole number.", "budget")
    params["budget"] = float(budget[:-1]) if unit == "percent" else as_budget(budget)


def _beta_mode(params):
    """``beta="auto"`` (or ``"usual"``) says what ``beta_mode`` says."""
    if isinstance(params.get("beta"), str):
        mode = params.pop("beta")
        if params.setdefault("beta_mode", mode) != mode:
            raise InvalidInput(f"beta='{mode}' contradicts beta_mode='{params['beta_mode']}'. Leave one out.", "beta")


def _vectors(params):
    """A similarity index that was chosen in the list of a form, as Python names it."""
    field = params.get("embeddings_field")
    if field is None or params.get("source") == "encoder":
        return
    if "similarity_index" in params and field != f"{INDEX}{params['similarity_index']}":
        raise InvalidInput("Give embeddings_field or similarity_index, not both.", "similarity_index")
    if field.startswith(INDEX):
        params["similarity_index"] = params.pop("embeddings_field").removeprefix(INDEX)


def _veto(params):
    """A veto by a quantile as the form has it: the closest share in percent."""
    from ..elfs_plugin.neighbors.near_duplicates import check_veto

    if isinstance(params.get("veto"), dict):
        kind, value = check_veto(params["veto"])
        params["veto"] = value
        if kind == "quantile":
            del params["veto"]
            params.update(veto_mode="quantile", veto_share=100 * (1 - value))
    elif "veto" in params:
        check_veto(params["veto"])
