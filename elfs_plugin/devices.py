"""Where tensors live and in which precision matrix products run."""

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator
from typing import Any

import torch

from .errors import InvalidInput


def resolve_device(device: str | torch.device | None = "auto") -> torch.device:
    """``"auto"`` is the GPU when there is one, else the CPU; otherwise what PyTorch makes of the name."""
    if device in (None, "auto"):
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInput(f"The device {device!r} cannot be used ({error}). Use 'auto' or 'cpu'.", "device") from error
    return resolved


def has_gpu() -> bool:
    return torch.cuda.is_available()


def _quick_bfloat16(device):
    """Whether the hardware itself computes in bfloat16 (emulation is slower than float32)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 matrix products where the hardware is quicker at them, else a context that does nothing."""
    return torch.autocast(device.type, torch.bfloat16) if _quick_bfloat16(device) else contextlib.nullcontext()


def matmul_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where matrix products are quicker in it (see :func:`autocast`), else float32."""
    return torch.bfloat16 if _quick_bfloat16(device) else torch.float32


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's mallopt


@contextlib.contextmanager
def reuse_heap(device: torch.device) -> Iterator[None]:
    """Lets glibc keep the memory of one training step for the next.

    By default every large tensor of a step is mapped and unmapped anew, and the kernel clears each page again: measured
    on one machine, a third of the time of a clustering step. Afterwards glibc's largest automatic thresholds hold and
    free memory goes back to the system. Elsewhere than on a CPU with glibc it does nothing.
    """
    libc: Any = ctypes.CDLL(None) if device.type == "cpu" and sys.platform == "linux" else None
    if not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        yield
        return
    libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
    libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 64 << 20)
        libc.malloc_trim(0)


def generator(seed: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A seeded random generator that touches no global state."""
    g = torch.Generator(device=device)
    g.manual_seed(int(seed) % (1 << 63))
    return g


def cpu_threads() -> int:
    """How many threads PyTorch uses on the CPU."""
    return torch.get_num_threads()


@contextlib.contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """One CPU thread for networks so small that threads would wait for each other longer than they compute (on a busy
    machine, many times longer). It concerns the calling thread alone; others keep theirs."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        yield
        return
    _set_threads_here(1, threads)
    try:
        yield
    finally:
        _set_threads_here(threads, threads)


_setting_threads = threading.Lock()


def _set_threads_here(here, elsewhere):
    """PyTorch's number of threads in the calling thread, and in those that begin later: two settings, set together."""
    with _setting_threads:
        torch.set_num_threads(here)
        if here != elsewhere:
            other = threading.Thread(target=torch.set_num_threads, args=(elsewhere,))
            other.start()
            other.join()
