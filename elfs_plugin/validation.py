"""Checks of single parameters, made before any work; each returns the value as a plain Python number."""

import contextlib
import operator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from .errors import InvalidInput

LARGEST_SEED = 2**32 - 1
"""NumPy's and scikit-learn's older generators take no larger one."""

LARGEST_DERIVED_SEED = 2**63 - 1

IMAGE_SIZES = (8, 1024)
"""Below 8 pixels nothing is left after the halvings of a ResNet; above 1,024 a batch would not fit most memories."""

MOST_EPOCHS = 100_000


def validate_seed(seed: Any, largest: int = LARGEST_SEED) -> int:
    """The seed as an int.

    Raises:
        InvalidInput: unless it is a whole number from 0 to ``largest``
    """
    return _between(seed, 0, largest, "The seed", "seed")


def derived_seed(seed: Any) -> int:
    """The same for a function that others call with seeds made from the user's, which may be larger."""
    return validate_seed(seed, LARGEST_DERIVED_SEED)


def validate_neighbors(k: Any, n: int | None = None) -> int | None:
    """The neighbours per sample as an int, of ``n`` samples at most n - 1; None, for a suggested number, stays None.

    Raises:
        InvalidInput: unless it is a whole number from 1
    """
    if k is None:
        return None
    found = whole_number(k)
    if found is None or found < 1:
        raise InvalidInput(f"The number of neighbours must be a whole number from 1, not {shown(k)}.", "neighbors")
    return found if n is None else min(found, max(n - 1, 1))


def validate_image_size(size: Any) -> int | None:
    """The side of decoded images in pixels as an int; None, for the default, stays None.

    Raises:
        InvalidInput: unless it is a whole number within :data:`IMAGE_SIZES`
    """
    return None if size is None else _between(size, *IMAGE_SIZES, "The image size", "image_size", " pixels")


def validate_epochs(epochs: Any) -> int | None:
    """The epochs of a training as an int; None, for the default, stays None.

    Raises:
        InvalidInput: unless it is a whole number from 1 to :data:`MOST_EPOCHS`
    """
    return None if epochs is None else _between(epochs, 1, MOST_EPOCHS, "The number of epochs", "epochs")


def plain_number(value: Any) -> Any:
    """A single number of NumPy, PyTorch, ``decimal`` or ``fractions`` as Python's own; anything else as it is."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            return float("nan") if value.is_nan() else float(value)
        return int(value) if int(value.as_tuple().exponent) >= 0 else float(value)
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else float(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        with contextlib.suppress(TypeError, RuntimeError):  # of PyTorch's kinds NumPy lacks some
            value = np.asarray(value.detach() if hasattr(value, "detach") else value)[()]
    if isinstance(value, np.floating):
        return float(str(value))  # the 0.7 of a float32 is meant as 0.7, not as 0.69999999
    if isinstance(value, np.generic) or (getattr(value, "ndim", None) == 0 and hasattr(value, "item")):
        return value.item()
    return value


def whole_number(value: Any) -> int | None:
    """``value`` as an int where it is a whole number of any numeric type (5, 5.0, NumPy's), else None; True and False
    are no numbers."""
    value = plain_number(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if np.isfinite(value) and value == int(value) else None
    try:
        return operator.index(value)
    except (TypeError, ValueError):  # text, lists, arrays of more than one number
        return None


def shown(value: Any) -> str:
    """A value for a message: its ``repr``, shortened."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else text[:57] + "…"


def _between(value, low, high, what, field, unit=""):
    found = whole_number(value)
    if found is None or not low <= found <= high:
        raise InvalidInput(f"{what} must be a whole number from {low:,} to {high:,}{unit}, not {shown(value)}.", field)
    return found
