"""The end of a command from outside: Ctrl-C, and the signals by which a shell or an orchestrator ends a process.

The first one is raised in the main thread, so that a job marks itself as interrupted and gives its lock back; the
second ends the process at once.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


class Stopped(KeyboardInterrupt):
    """A signal ends the command. ``code`` is the exit code that says so: 130 for Ctrl-C, 143 for SIGTERM."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.code = 128 + number


_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Within the block a signal raises :class:`Stopped`, and the next one ends the process.

    A signal that the caller has the process ignore (``nohup``, a shell's background job) stays ignored. In another
    thread than the main one, where signals cannot be handled, the block is as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # None is a handler that was not set from Python; it could not be put back.
    handled = [s for s in _SIGNALS if signal.getsignal(s) not in (signal.SIG_IGN, None)]

    def stop(number, frame):
        for other in handled:
            signal.signal(other, quit_now)
        raise Stopped(number)

    def quit_now(number, frame):
        with contextlib.suppress(OSError):
            os.write(2, b"\nEnded at once.\n")
        os._exit(128 + number)

    before = {s: signal.signal(s, stop) for s in handled}
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def end_at_once() -> None:
    """From now on, when nothing is left to be done, Ctrl-C ends the process without a word."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
