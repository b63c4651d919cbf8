"""Proxies by name."""

from functools import partial

from ..devices import has_gpu
from ..errors import InvalidInput
from .train import ProxyConfig


def resolve_proxy(proxy, images_available=True, field="proxy"):
    """``"auto"`` is ResNet-18 on images when there is a GPU, else the MLP on embeddings.

    ``proxy`` may also be ``"mlp"``, ``"resnet8"`` (small ones on images), ``"resnet18"``, ``"resnet18_fast"``
    (30 epochs), ``"timm:<model>"`` or a :class:`~.train.ProxyConfig`. ``field`` is the parameter that errors
    name.
    """
    if isinstance(proxy, ProxyConfig):
        return proxy
    if proxy == "auto":
        return ProxyConfig.resnet18() if has_gpu() and images_available else ProxyConfig.mlp()
    if proxy == "mlp":
        return ProxyConfig.mlp()
    family, _, model = proxy.partition(":") if isinstance(proxy, str) else (None, "", "")
    makers = {name: getattr(ProxyConfig, name) for name in ("resnet8", "resnet18", "resnet18_fast")}
    if model and family == "timm":
        makers[proxy] = partial(ProxyConfig.timm, model)
    if proxy not in makers:
        raise InvalidInput(
            f"Unknown proxy {proxy!r}. Use 'auto', 'mlp', 'resnet8' or 'resnet18' (or 'resnet18_fast', "
            "'timm:<model>').",
            field,
        )
    if not images_available:
        raise InvalidInput(f"The proxy {proxy} needs the image files. Use the MLP on embeddings.", field)
    return makers[proxy]()
