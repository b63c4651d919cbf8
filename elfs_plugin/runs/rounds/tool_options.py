"""The options of a labelling tool: which there are, of which kind, and what they are when nobody says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import InvalidInput
from ...suggestions import did_you_mean
from ...validation import shown, whole_number
from .backends.base import Backend, Option

_FLAGS = {"true": True, "false": False}


def complete(
    tool: Backend | type[Backend], given: Mapping[str, Any], earlier: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """All options of a tool: those that are ``given``, which may be texts, else as ``earlier``, else the usual ones.

    Raises:
        InvalidInput: for one that there is not, of another kind, or that is missing; its ``field`` is the option's name
    """
    known = {option.name: option for option in tool.options}
    for name in given:
        if name not in known:
            has = ", ".join(known) or "none"
            raise InvalidInput(
                f"{tool.title} has no option {shown(name)} (options: {has}).{did_you_mean(name, known)}", "options"
            )
    there = {name: value for name, value in {**(earlier or {}), **given}.items() if name in known}
    found = {name: _as_kind(option, there[name]) if name in there else option.default for name, option in known.items()}
    for name, option in known.items():
        if option.required and found[name] in (None, ""):
            raise InvalidInput(f"{tool.title} needs: {option.label}.", name)
    return found


def _as_kind(option: Option, value: Any) -> Any:
    if value is None:
        return None
    if option.kind is bool:
        found = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else value
        if not isinstance(found, bool):
            raise InvalidInput(f"{option.label}: either true or false, not {shown(value)}.", option.name)
        return found
    if option.kind is int:
        if value == "":
            return None
        number = whole_number(int(value) if isinstance(value, str) and value.strip().isdecimal() else value)
        if number is None:
            raise InvalidInput(f"{option.label}: a whole number, not {shown(value)}.", option.name)
        return number
    # A key or a password may be a number. Paths and lists are for the tool to judge.
    return str(value) if isinstance(value, (int, float)) else value
