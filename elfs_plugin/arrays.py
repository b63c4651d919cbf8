"""What callers hand over as numbers (lists, tensors, data frames, arrays of any kind) as arrays that all code takes."""

import sys
from typing import Any

import numpy as np

from .contracts import Array
from .errors import InvalidInput

_WANTED = "Give a NumPy array, a tensor or a list of numbers"


def as_array(values: Any, what: str, field: str | None = None) -> Array:
    """``values`` as a NumPy array of numbers that PyTorch takes too; an array that is one already is not copied.

    Tensors, lists, data frames and arrays of objects are converted, masked values become NaN, arrays with negative
    strides or a foreign byte order are copied.

    Args:
        what: names the values in the message, as the beginning of a sentence

    Raises:
        InvalidInput: for what is no regular array of real numbers
    """
    if is_tensor(values):
        values = _of_tensor(values)
    elif isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)
    elif isinstance(values, (list, tuple)):
        values = [_of_tensor(item) if is_tensor(item) else item for item in values]
    try:
        array = np.asarray(values)
        if array.dtype == object:
            array = (np.stack(list(array)) if array.ndim == 1 else array).astype(np.float64)
    except (TypeError, ValueError):
        raise InvalidInput(f"{what} are not numbers in rows of one length. {_WANTED}.", field) from None
    if array.dtype.kind not in "fiub":
        kind = "text" if array.dtype.kind in "USO" else f"of the type {array.dtype}"
        raise InvalidInput(f"{what} must be real numbers; they are {kind}. {_WANTED}.", field)
    if array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return np.ascontiguousarray(array) if any(stride < 0 for stride in array.strides) else array


def as_matrix(values: Any, what: str = "The vectors", field: str | None = None) -> Array:
    """The same, and they must form a matrix (N, D)."""
    array = as_array(values, what, field)
    if array.ndim != 2 or array.shape[1] == 0:
        raise InvalidInput(f"{what} must form a matrix (N, D), one row for each; the shape is {array.shape}.", field)
    return array


def as_row(values: Any, n: int, what: str, field: str | None = None) -> Array:
    """The same, and they must be one number for each of ``n`` samples."""
    array = as_array(values, what, field)
    if array.shape != (n,):
        raise InvalidInput(f"{what} must be one number for each of {n:,} samples; the shape is {array.shape}.", field)
    return array


def is_tensor(values: Any) -> bool:
    """Whether it is PyTorch's; asking does not import it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def _of_tensor(tensor):
    tensor = tensor.detach().cpu()
    tensor = tensor.to_dense() if tensor.is_sparse else tensor
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).resolve_conj().resolve_neg().numpy()
