"""What rounds are called on a dataset: by default as in FiftyOne's Annotation Guide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ...errors import InvalidInput
from ...suggestions import did_you_mean
from ...validation import shown

ROUND, SOURCE = "{round}", "{source}"


@dataclass(frozen=True)
class RoundNames:
    """Tags and saved views. ``{round}`` stands for the number of a round, ``{source}`` for why a sample was chosen."""

    waiting: str = "to_annotate"
    """Tag of what is chosen and not labelled yet."""
    batch: str = "batch:v{round}"
    """Tag of a round's samples; with ``source`` they are what a batch is known by."""
    annotated: str = "annotated:v{round}"
    """Tag of a round's samples that have really been labelled."""
    source: str = "source:{source}"
    golden: str = "golden_qa"
    """Tag and saved view of the golden set."""
    batch_view: str = "batch_v{round}"
    pool_view: str = "pool"
    """Saved view of what is neither labelled nor chosen."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, str) or not value.strip():
                raise InvalidInput(f"The name '{name}' of rounds must be a text, not {shown(value)}.", f"name_{name}")
        for name, part in (("batch", ROUND), ("annotated", ROUND), ("batch_view", ROUND), ("source", SOURCE)):
            if part not in getattr(self, name):
                raise InvalidInput(f"The name '{name}' of rounds needs {part} in it.", f"name_{name}")

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> RoundNames:
        """The usual names, those that are given in their place.

        Raises:
            InvalidInput: for a name that there is not
        """
        known = [f.name for f in fields(cls)]
        for name in given or {}:
            if name not in known:
                raise InvalidInput(
                    f"Rounds have no name {shown(name)} (names: {', '.join(known)}).{did_you_mean(name, known)}",
                    "names",
                )
        return cls(**(given or {}))

    def for_round(self, number: int) -> dict[str, str]:
        """``batch``, ``annotated`` and ``batch_view`` of a round."""
        return {name: getattr(self, name).replace(ROUND, str(number)) for name in ("batch", "annotated", "batch_view")}

    def for_source(self, source: str) -> str:
        return self.source.replace(SOURCE, source)


NAMES = tuple(f.name for f in fields(RoundNames))
