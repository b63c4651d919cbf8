"""The names of the proxies. Imports nothing heavy, for forms; whether timm has a model, timm itself is asked."""

from ..errors import InvalidInput
from ..validation import shown

NAMES = ("auto", "mlp", "resnet8", "resnet18", "resnet18_fast")
TIMM = "timm:"
"""Before the name of a timm model."""


def check_proxy(proxy, field="proxy"):
    """Refuses what names no proxy: none of :data:`NAMES`, and no model of timm.

    Args:
        field: the parameter that the error names

    Raises:
        InvalidInput: for another name
        MissingModel: for a model that timm does not have, with close names
    """
    if isinstance(proxy, str) and proxy in NAMES:
        return
    if not isinstance(proxy, str) or not proxy.startswith(TIMM) or proxy == TIMM:
        raise InvalidInput(
            f"Unknown proxy {shown(proxy)}. Use 'auto', 'mlp', 'resnet8' or 'resnet18' (or 'resnet18_fast', "
            "'timm:<model>').",
            field,
        )
    from .networks import check_timm_model

    check_timm_model(proxy.removeprefix(TIMM))
