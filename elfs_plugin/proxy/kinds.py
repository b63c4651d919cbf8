"""Proxies by name. Imports nothing heavy, for forms; whether timm has a model, timm itself is asked."""

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


def resolve_proxy(proxy, images_available=True, field="proxy"):
    """The :class:`~.train.ProxyConfig` of a name. ``"auto"`` is ResNet-18 on images when there is a GPU, else the MLP
    on embeddings.

    Args:
        proxy: one of :data:`NAMES`, ``"timm:<model>"``, or a :class:`~.train.ProxyConfig`, which is taken as it is
        field: the parameter that the error names
    """
    from ..devices import has_gpu
    from .train import ProxyConfig

    if isinstance(proxy, ProxyConfig):
        return proxy
    check_proxy(proxy, field)
    if proxy == "auto":
        return ProxyConfig.resnet18() if has_gpu() and images_available else ProxyConfig.mlp()
    if proxy == "mlp":
        return ProxyConfig.mlp()
    if not images_available:
        raise InvalidInput(f"The proxy {proxy} needs the image files. Use the MLP on embeddings.", field)
    if proxy.startswith(TIMM):
        return ProxyConfig.timm(proxy.removeprefix(TIMM))
    return getattr(ProxyConfig, proxy)()
