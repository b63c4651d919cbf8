"""Where tensors live and in which precision matrix products run."""

import contextlib

import torch

from .errors import InvalidInput


def resolve_device(device="auto"):
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


def has_gpu():
    return torch.cuda.is_available()


def autocast(device):
    """bfloat16 matrix products where the hardware is quicker at them, else a context that does nothing."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    if device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.autocast("cpu", torch.bfloat16)
    return contextlib.nullcontext()


def generator(seed, device="cpu"):
    """A seeded random generator that touches no global state."""
    g = torch.Generator(device=device)
    g.manual_seed(int(seed) % (1 << 63))
    return g


@contextlib.contextmanager
def one_thread(device):
    """One CPU thread for networks so small that threads would wait for each other longer than they compute (on a busy
    machine, many times longer)."""
    if device.type != "cpu":
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
