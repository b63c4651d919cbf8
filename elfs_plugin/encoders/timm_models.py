"""timm's models: their names, and checkpoints from local files."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

from ..contracts import AnyPath
from ..errors import MissingModel, is_out_of_memory
from ..text import first_line

if TYPE_CHECKING:
    import torch


def check_timm_model(name: str) -> None:
    """Raises :class:`MissingModel` with close names unless timm has a model of that name (a tag behind a dot is not
    looked at)."""
    import timm

    architecture = str(name).split(".")[0]
    if timm.is_model(architecture):
        return
    close = difflib.get_close_matches(architecture, timm.list_models(), n=5, cutoff=0.5)
    hint = f" Similar names: {', '.join(close)}." if close else ""
    raise MissingModel(f"timm has no model named {name!r}.{hint} timm.list_models() lists them all.")


def load_timm_checkpoint(model: torch.nn.Module, name: str, weights: AnyPath) -> None:
    """Loads the local file ``weights`` into ``model``, the timm model of that name, with or without a classifier; every
    weight of the feature extractor must be in it.

    Raises:
        MissingModel: for a file that cannot be read, or that is not of this model
    """
    import timm

    try:
        state = timm.models.load_state_dict(str(weights))
        convert = getattr(importlib.import_module(type(model).__module__), "checkpoint_filter_fn", None)
        if convert is not None:
            state = convert(state, model)
        result = model.load_state_dict(state, strict=False)
    except Exception as error:  # unpickling and key conversion raise many kinds on a foreign file
        if is_out_of_memory(error):
            raise
        raise weights_unavailable(f"timm:{name}", weights, error) from error
    if result.missing_keys:
        names = ", ".join(result.missing_keys[:3])
        raise MissingModel(
            f"{weights} is not a checkpoint of timm:{name}: it lacks {len(result.missing_keys)} of the model's "
            f"weights ({names}, …). Name the model the file was trained as."
        )


def weights_unavailable(name: str, source: AnyPath, error: Exception) -> MissingModel:
    """The :class:`MissingModel` to raise when the weights of a model cannot be had."""
    return MissingModel(
        f"The weights of {name} could not be loaded from {source} ({type(error).__name__}: {first_line(error)}). "
        "Without network access, download the checkpoint elsewhere and give its path as the local weights file."
    )
