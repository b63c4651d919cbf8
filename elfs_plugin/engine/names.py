"""The engines by name, and what a form can know of them without loading one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from ..suggestions import did_you_mean

ENGINES = ("local", "ray")
ENGINE_VARIABLE, ADDRESS_VARIABLE = "ELFS_ENGINE", "ELFS_RAY_ADDRESS"

NOT_IN_THE_APP = (
    "The engine 'ray' is not started in the App's own process, whose signals Ray would take. Schedule the operator "
    "(a delegated operation) or use Python or the command line, or choose the engine 'local'."
)


def available() -> list[str]:
    """The names of the engines that are installed; loads none."""
    return [name for name in ENGINES if name != "ray" or importlib.util.find_spec("ray") is not None]


def check(engine: Any, address: Any = None) -> None:
    """Refuses an engine that there is not, that is not installed, or whose address makes no sense; starts none.

    Raises:
        InvalidInput: with the field that is wrong, ``engine`` or ``address``
    """
    if engine is not None and engine not in ENGINES:
        raise InvalidInput(
            f"Unknown engine {engine!r}. Use one of: {', '.join(ENGINES)}.{did_you_mean(str(engine), ENGINES)}",
            "engine",
        )
    if engine == "ray" and "ray" not in available():
        raise InvalidInput("The engine 'ray' needs Ray, which is not installed: pip install \"ray[data]\".", "engine")
    if address and engine == "local":
        raise InvalidInput("An address is for the engine 'ray'. Leave it out, or choose that engine.", "address")
    if address and str(address).startswith("ray://"):
        raise InvalidInput(
            "An address of the Ray client (ray://…) is not supported: start this on a machine of the cluster, and give "
            "HOST:PORT of its head, or 'auto'.",
            "address",
        )


def in_app_server() -> bool:
    """Whether this process is the server of FiftyOne's App."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return main is not None and Path(main).parts[-3:] == ("fiftyone", "server", "main.py")
