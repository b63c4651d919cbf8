"""What a row can be: one module for each kind, a subclass of :class:`~.base.RowKind` called by its name.

To add a kind: its words in :data:`~...nouns.KINDS`, what stands for it in :func:`~..companions.kind_of`, and a
module here. :mod:`~..make_rows` makes companions with it, :mod:`~..write_back` brings their results to the source.
"""

import importlib

from ...errors import InvalidInput
from ...nouns import KINDS
from ...validation import shown
from .base import RowKind


def kind(name: str) -> RowKind:
    """The :class:`~.base.RowKind` of a name.

    Raises:
        InvalidInput: for a name that there is not
    """
    if name not in KINDS:
        raise InvalidInput(f"Unknown kind {shown(name)}. Use one of: {', '.join(KINDS)}.", "kind")
    return importlib.import_module(f"{__name__}.{name}").Kind()
