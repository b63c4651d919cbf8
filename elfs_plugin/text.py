"""Texts from outside, for messages and for the database."""

import os

from .contracts import AnyPath


def is_text(value: str) -> bool:
    """Whether a str can be kept as text: file names of another encoding, and half of a surrogate pair, cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(path: AnyPath) -> str:
    """A path as text that can be printed anywhere: bytes that are no text, and line ends, as escapes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, shortened; the name of its type when it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
