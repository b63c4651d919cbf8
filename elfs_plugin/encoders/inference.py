"""What computes vectors, in words: numbers and engine, such as "bfloat16 by PyTorch"."""

PYTORCH = "PyTorch"

_BY = " by "


def engine_of(inference: str) -> str:
    """The engine; of vectors of which nothing is said, PyTorch."""
    return inference.rpartition(_BY)[2] or PYTORCH
