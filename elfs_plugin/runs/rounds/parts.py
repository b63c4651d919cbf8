"""Which samples are in which part of a round.

They are kept with the run's results when the parts are planned: a part is the same when it is sent again, or taken
back, whatever has happened to the dataset meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import InvalidInput
from .state import Round

if TYPE_CHECKING:
    from ..run import Run


def entry(number: int) -> str:
    """The name of a round's entry in the results of its run."""
    return f"round_{number}_parts"


def members(run: Run, one: Round) -> dict[str, list[str]]:
    """{key of the part: sample ids in order}.

    Raises:
        InvalidInput: when the run's results have been lost
    """
    found = run.results.get(entry(one.number)) or {}
    for part in one.parts:
        if part.key not in found:
            raise InvalidInput(
                f"What was sent in round {one.number} is not known any more: the results of the run '{run.key}' are "
                "gone. Take what was sent back by hand, and choose the next batch.",
                "round",
            )
    return found
