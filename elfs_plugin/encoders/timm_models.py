"""timm's models: their names, and checkpoints from local files."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING, Any

from ..contracts import AnyPath
from ..errors import MissingModel, is_out_of_memory
from ..files import whole_file
from ..text import first_line
from .checkpoint_fit import misfit, renamed

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


def tagged(name: str) -> str:
    """The name of a model with the tag of the weights that timm takes where none is given."""
    import timm

    architecture, _, tag = name.partition(".")
    config = None if tag else timm.models.get_pretrained_cfg(architecture, allow_unregistered=True)
    return f"{architecture}.{config.tag}" if config is not None and config.tag else name


def load_timm(name: str, weights: AnyPath | None, *, rename: bool = False) -> tuple[torch.nn.Module, Any]:
    """(the model of that name without its classifier, its preprocessing of an image); arguments as of
    :func:`load_timm_checkpoint`.

    Raises:
        MissingModel: for an unknown model, or weights that cannot be had or do not fit
    """
    import timm

    check_timm_model(name)
    try:
        model = timm.create_model(name, pretrained=weights is None, num_classes=0)
    except Exception as error:  # hub clients raise many kinds
        if is_out_of_memory(error):
            raise
        raise weights_unavailable(f"timm:{name}", HUB, error) from error
    if weights is not None:
        load_timm_checkpoint(model, name, weights, rename=rename)
    config = timm.data.resolve_model_data_config(model)
    return model, timm.data.create_transform(**config, is_training=False)


def load_timm_checkpoint(model: torch.nn.Module, name: str, weights: AnyPath, *, rename: bool = False) -> None:
    """Loads the local file ``weights`` into ``model``, the timm model of that name, with or without a classifier; every
    weight of the feature extractor must be in it. Nothing but tensors is read: a file cannot run code.

    Args:
        rename: whether tensors of the same shapes in the same order may have other names

    Raises:
        MissingModel: for a file that cannot be read, or that is not of this model
    """
    import timm

    try:
        state = timm.models.load_state_dict(str(weights), weights_only=True)
        convert = getattr(importlib.import_module(type(model).__module__), "checkpoint_filter_fn", None)
        if convert is not None:
            state = convert(state, model)
    except Exception as error:  # unpickling and key conversion raise many kinds on a foreign file
        if is_out_of_memory(error):
            raise
        raise weights_unavailable(f"timm:{name}", weights, error) from error
    try:
        missing = model.load_state_dict(state, strict=False).missing_keys
    except RuntimeError as error:  # other shapes
        if is_out_of_memory(error):
            raise
        missing = None
    if missing == []:
        return
    expected = model.state_dict()
    other_names = renamed(state, expected)
    if other_names is not None and rename:
        model.load_state_dict(other_names)
        return
    raise MissingModel(
        f"{weights} is not a checkpoint of timm:{name}: {misfit(state, expected, missing or ())}. "
        + ("Name the model the file was trained as." if other_names is None else _conversion(name, weights))
    )


def _conversion(name, weights):
    return (
        "Its tensors have the same shapes in the same order as the model's, so it may be the same network under other "
        f"names. If you know that it is, convert it: python -m elfs_plugin convert-checkpoint {weights} "
        f"converted.pth --encoder timm:{name}, and name converted.pth."
    )


def convert_checkpoint(name: str, source: AnyPath, target: AnyPath) -> int:
    """Writes a checkpoint whose tensors have other names under those of the timm model ``name``, without a classifier.

    Returns:
        the number of tensors

    Raises:
        MissingModel: for an unknown model, or a file whose tensors have not the same shapes in the same order
        OSError: when ``target`` cannot be written
    """
    import timm
    import torch

    check_timm_model(name)
    model = timm.create_model(name, pretrained=False, num_classes=0)
    load_timm_checkpoint(model, name, source, rename=True)
    state = model.state_dict()
    with whole_file(target) as file:
        torch.save(state, file)
    return len(state)


HUB = "the model hub"


def weights_unavailable(name: str, source: AnyPath, error: Exception) -> MissingModel:
    """The :class:`MissingModel` to raise when the weights of a model cannot be had from a file or :data:`HUB`."""
    what_then = (
        "Without network access, download the checkpoint elsewhere and give its path as the local weights file, or use "
        "the encoder 'lite0', which needs no hub."
        if source == HUB
        else "Give a checkpoint of that model."
    )
    return MissingModel(
        f"The weights of {name} could not be loaded from {source} ({type(error).__name__}: {first_line(error)}). "
        f"{what_then}"
    )
