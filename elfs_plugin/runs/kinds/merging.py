"""Writing to many documents from others, in the database."""

from collections.abc import Sequence
from typing import Any


def merge(
    collection: Any,
    stages: Sequence[dict[str, Any]],
    into: str,
    on: Sequence[str],
    change: Sequence[dict[str, Any]],
    otherwise: str = "discard",
) -> None:
    """Runs an aggregation on a PyMongo collection whose documents change those of the collection called ``into`` that
    are alike in the fields ``on``.

    Args:
        change: stages of an update; what comes in is ``$$new`` in them
        otherwise: what becomes of a document that nothing is like: ``"discard"`` or ``"insert"``
    """
    end = {"into": into, "on": list(on), "whenMatched": list(change), "whenNotMatched": otherwise}
    collection.aggregate([*stages, {"$merge": end}], allowDiskUse=True)
