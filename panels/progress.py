"""A running job in words: what it does, how far it is, how long it took and may still take."""

import time

FIRST_ESTIMATE = 0.03
"""Share of the work after which the time left is guessed; before it the guess would be wild."""


def progress_text(job, now=None):
    """One line for a job of :func:`~..elfs_plugin.runs.read_job`."""
    overall, elapsed = job.get("overall") or 0.0, max((now or time.time()) - job["started"], 0.0)
    text = f"{overall:.0%} · {job.get('label') or job['operation']} · {duration(elapsed)} so far"
    if FIRST_ESTIMATE <= overall < 1 and elapsed >= 2:
        text += f", about {duration(elapsed * (1 - overall) / overall)} left"
    return text


def duration(seconds):
    """Seconds as ``40 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        minutes, rest = divmod(seconds, 60)
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, rest = divmod(seconds // 60, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
