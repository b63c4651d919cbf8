"""Texts from outside, for messages and for the database; and numbers of things in words."""

import os
from dataclasses import dataclass

from .contracts import AnyPath


@dataclass(frozen=True)
class Noun:
    """What samples are called: ``one``, ``many``."""

    one: str
    many: str

    def count(self, number: int) -> str:
        """``1 image``, ``1,200 images``."""
        return f"{number:,} {self.one if number == 1 else self.many}"


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
