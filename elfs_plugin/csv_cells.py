"""Text in CSV files that a spreadsheet opens: nothing a user named may be taken for a formula.

Text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line break gets an apostrophe before it, unless it is a
plain number; numbers stay numbers. :func:`plain_text` takes the apostrophe away again.
"""

import re
from collections.abc import Iterable
from typing import Any

_START = "[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # the wide ones are read as = + - @ in some languages
_DANGEROUS = re.compile(f"'*{_START}")
_MARKED = re.compile(f"'+{_START}")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?\Z", re.ASCII)


def cell(value: Any) -> Any:
    """What to write for a value: text that could be a formula with an apostrophe before it, all else as it is."""
    if isinstance(value, str) and _DANGEROUS.match(value) and not _NUMBER.match(value):
        return "'" + value
    return value


def row(values: Iterable[Any]) -> list[Any]:
    """:func:`cell` of each value, as a list."""
    return [cell(value) for value in values]


def plain_text(text: str) -> str:
    """The text that :func:`cell` was given, from what the file holds."""
    return text[1:] if _MARKED.match(text) else text
