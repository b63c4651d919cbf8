"""Networks of one architecture side by side on the same batch: the ways to compute them, to be measured."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call, vmap

from .. import cuda_streams

WAYS = ("sequential", "streams", "stacked")
"""One after another; each on a stream of its own, so that small kernels share a GPU; or with stacked weights, which
makes convolutions grouped ones."""

STREAMS = 4

ON_GPU = "streams"
"""A small kernel fills no GPU. Within a CUDA graph the streams become branches that cost the host nothing."""


def members_forward(networks: nn.ModuleList, x: torch.Tensor, way: str = "auto") -> torch.Tensor:
    """(B, …) to (B, M, C): the outputs of M networks, the same in every way but for rounding.

    Args:
        way: one of :data:`WAYS`, or ``"auto"``: one after another on a CPU, :data:`ON_GPU` on a GPU
    """
    if way == "auto":
        way = ON_GPU if x.is_cuda and len(networks) > 1 else "sequential"
    return _WAYS[way](networks, x)


def _sequential(networks, x):
    return torch.stack([network(x) for network in networks], dim=1)


def _streams(networks, x):
    if not x.is_cuda:
        return _sequential(networks, x)
    here, outputs = torch.cuda.current_stream(x.device), []
    streams = _beside(here)
    for stream in streams:
        stream.wait_stream(here)
    for network, stream in zip(networks, itertools.cycle(streams)):
        with torch.cuda.stream(stream):
            outputs.append(network(x))
    for stream in streams:
        here.wait_stream(stream)
    return torch.stack(outputs, dim=1)


_kept: dict[tuple[torch.device, int], list[torch.cuda.Stream]] = {}


def _beside(stream):
    """The streams beside a stream: the same ones every time, for what a stream has freed only it uses again."""
    key = stream.device, stream.cuda_stream
    if key not in _kept:
        _kept[key] = [cuda_streams.take(stream.device) for _ in range(STREAMS)]
    return _kept[key]


def _stacked(networks, x):
    """The weights are stacked in every pass, so that gradients reach the networks' own parameters."""
    parameters = _stack([dict(network.named_parameters()) for network in networks])
    buffers = _stack([dict(network.named_buffers()) for network in networks])

    def one(parameters, buffers, x):
        # Buffers are returned, for what a pass changes is a copy.
        return functional_call(networks[0], (parameters, buffers), (x,)), buffers

    outputs, changed = vmap(one, in_dims=(0, 0, None), out_dims=(1, 0))(parameters, buffers, x)
    with torch.no_grad():
        for name, values in changed.items():
            for network, value in zip(networks, values):
                network.get_buffer(name).copy_(value)
    return outputs


def _stack(states: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


_WAYS: dict[str, Callable[[nn.ModuleList, torch.Tensor], torch.Tensor]] = {
    "sequential": _sequential,
    "streams": _streams,
    "stacked": _stacked,
}
