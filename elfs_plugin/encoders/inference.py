"""What computes vectors, in words: numbers and engine, such as "bfloat16 by PyTorch", and :data:`ON_GPU` in between."""

PYTORCH = "PyTorch"

ON_GPU = "JPEG files decoded on the GPU"

_BY = " by "


def engine_of(inference: str) -> str:
    """The engine; of vectors of which nothing is said, PyTorch."""
    return inference.rpartition(_BY)[2] or PYTORCH
