"""The names of a run's embedding plots, and how FiftyOne's panel is told of one. Imports nothing heavy, for forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import NameTaken
from .fiftyone_types import Dataset

if TYPE_CHECKING:
    from .record import RunRecord


def brain_key_of(key: str, method: str) -> str:
    return f"{key}_{method}"


def check_brain_key(dataset: Dataset, run: RunRecord | None, brain_key: str) -> None:
    """Raises :class:`NameTaken` for a brain run, or a field for its index, that is not this run's."""
    if run is not None and brain_key in run.brain_keys:
        return
    if dataset.has_brain_run(brain_key) or dataset.has_run(brain_key):
        raise NameTaken(
            f"The dataset already has a run '{brain_key}' that ELFS did not write. Rename it, or use another run key.",
            "method",
        )
    if dataset.has_sample_field(brain_key):
        raise NameTaken(
            f"The dataset already has a field '{brain_key}' that ELFS did not write. Rename it, or use another "
            "run key.",
            "method",
        )


def embeddings_panel_state(brain_key: str, color_field: str | None = None) -> dict[str, Any]:
    """What FiftyOne's Embeddings panel keeps as its browser state for a brain run coloured by a field.

    For ``open_panel("Embeddings", data=...)``: ``data`` is the browser's state, ``state`` another one that this panel
    does not read. FiftyOne 1.22 forgets both keys: a newly opened panel shows its list of plots whatever it was given,
    and a click on one there clears the colour (tried in the App). So tell the user which plot and field to choose.
    """
    return {"openKey": brain_key, "colorField": color_field}
