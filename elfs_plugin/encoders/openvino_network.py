"""Networks computed by OpenVINO, on CPUs, where it is installed (``pip install openvino``)."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

from ..devices import cpu_threads, one_thread, reuse_heap
from ..errors import is_out_of_memory
from ..text import first_line

logger = logging.getLogger(__name__)

WORTHWHILE = 2000
"""From so many images on a network is converted, which takes some seconds."""

FASTER = 1.3
"""It replaces PyTorch where it is so many times as fast: with a smaller lead another run might choose otherwise."""

_ROUNDS = 4
_CPU = torch.device("cpu")


def engine() -> str | None:
    """Its name and version, or None where it is not installed."""
    try:
        return f"OpenVINO {importlib.metadata.version('openvino')}"
    except importlib.metadata.PackageNotFoundError:
        return None


class OpenVinoNetwork:
    """``network`` converted, in memory; called as the network is, by any number of threads, each call on one processor.

    Args:
        network: with weights in float32, on the CPU; it computes the batches that OpenVINO fails on
        example: (B, …) float32, a batch to follow the computation with
        dtype: what products are computed in, ``torch.float32`` or ``torch.bfloat16``

    Raises:
        Exception: of any kind, where OpenVINO is missing, or a layer is not known to it
    """

    def __init__(self, network: torch.nn.Module, example: torch.Tensor, dtype: torch.dtype) -> None:
        openvino = _imported()
        with warnings.catch_warnings(), _root_logger_kept(), torch.no_grad():
            warnings.simplefilter("ignore")  # of what is constant in a trace; another batch size shows whether it is
            model = openvino.convert_model(network, example_input=example.contiguous())
        if len(model.outputs) != 1:
            raise ValueError(f"the network gives {len(model.outputs)} results")
        streams = cpu_threads()
        options = {
            "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams,
            "ENABLE_CPU_PINNING": False,  # the threads that decode are not pinned either
        }
        self._compiled = openvino.Core().compile_model(model, "CPU", options)
        self._network = network
        self._mine = threading.local()
        self._told = False

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        try:
            return self._inferred(batch)
        except Exception as error:  # bindings raise RuntimeError for nearly everything
            if is_out_of_memory(error):
                raise
            if not self._told:
                logger.info("OpenVINO failed on a batch (%s); PyTorch computes those.", first_line(error))
                self._told = True
        return self._network(batch)

    def _inferred(self, batch):
        if not hasattr(self._mine, "request"):
            self._mine.request = self._compiled.create_infer_request()
        found = self._mine.request.infer([batch.contiguous().numpy()])
        return torch.from_numpy(found[0].copy())  # the request writes the next result to the same place


def times_as_fast(one: Callable[[], Any], other: Callable[[], Any]) -> float:
    """How many times as fast ``other`` is as ``one``, by processor time, which other programs change little: the best
    of some rounds in which they alternate, on one PyTorch thread and with memory that is used again, as images are
    embedded."""
    took: tuple[list[float], list[float]] = ([], [])
    with one_thread(_CPU), reuse_heap(_CPU):
        for _ in range(_ROUNDS):
            for compute, seconds in zip((one, other), took):
                start = time.process_time()
                compute()
                seconds.append(time.process_time() - start)
    return min(took[0]) / max(min(took[1]), 1e-9)


def _imported():
    """The module, without the usage statistics that it sends as soon as it is imported, where ``openvino-telemetry`` is
    there."""
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    with _hidden("openvino_telemetry"):
        return importlib.import_module("openvino")


@contextlib.contextmanager
def _root_logger_kept():
    """A conversion silences the root logger, and, where it fails, leaves it so."""
    root = logging.getLogger()
    level, filters, handlers = root.level, root.filters[:], root.handlers[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers


@contextlib.contextmanager
def _hidden(name):
    """As if a module that has not been imported were not installed."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
