"""Results as plain lists and numbers, for JSON and MongoDB."""

from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Arrays and tuples as lists, NumPy's numbers as Python's, NaN as None."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and value != value else value
