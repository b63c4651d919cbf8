"""The settings of a method, described well enough to make a form of them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..errors import InvalidInput
from ..suggestions import did_you_mean
from ..text import is_text
from ..validation import plain_number, shown

KINDS = ("number", "integer", "choice", "flag", "text")


@dataclass(frozen=True)
class Parameter:
    """One setting.

    ``kind`` is ``"number"``, ``"integer"``, ``"choice"``, ``"flag"`` or ``"text"``; ``low`` and ``high`` are inclusive
    limits; ``text`` says in a sentence what it does. Where the ``default`` is None the method chooses; ``text`` says
    how.
    """

    name: str
    kind: str
    default: Any
    text: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()

    def check(self, value: Any) -> Any:
        """The value in its own type.

        Raises:
            InvalidInput: when it is of the wrong kind or out of range
        """
        if value is None and self.default is None:
            return None
        if self.kind == "choice":
            found = [choice for choice in self.choices if isinstance(value, type(choice)) and value == choice]
            if not found:
                raise InvalidInput(
                    f"Unknown {self.name} {shown(value)}. Use one of: {', '.join(map(str, self.choices))}."
                    + did_you_mean(value, self.choices),
                    self.name,
                )
            return found[0]
        if self.kind == "flag":
            if not isinstance(value, (bool, np.bool_)):
                raise InvalidInput(f"{self.name} is either true or false, not {shown(value)}.", self.name)
            return bool(value)
        if self.kind == "text":
            if not isinstance(value, str) or not is_text(value) or not value.strip():
                raise InvalidInput(f"{self.name} is a text, not {shown(value)}.", self.name)
            return value
        value = plain_number(value)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        finite = number and abs(value) < 1e300  # also for whole numbers that no float can hold
        whole = self.kind != "integer" or (finite and int(value) == value)
        low = -np.inf if self.low is None else self.low
        high = np.inf if self.high is None else self.high
        if not finite or not whole or not low <= value <= high:
            raise InvalidInput(f"{self.name} must be {self._range()}, not {shown(value)}.", self.name)
        return int(value) if self.kind == "integer" else float(value)

    def _range(self):
        what = "a whole number" if self.kind == "integer" else "a number"
        if self.low is not None and self.high is not None:
            return f"{what} from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{what} from {self.low:g}"
        return what if self.high is None else f"{what} up to {self.high:g}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def check_all(method: str, parameters: Iterable[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> checked value, defaults filled in."""
    known = {parameter.name: parameter for parameter in parameters}
    for name in values:
        if name not in known:
            has = f"It has: {', '.join(known)}." if known else "It has none."
            raise InvalidInput(f"{method} has no parameter {name!r}. {has}{did_you_mean(name, known)}", name)
    return {name: p.check(values[name]) if name in values else p.default for name, p in known.items()}
