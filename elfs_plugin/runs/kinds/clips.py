"""Clips around chosen frames of a video."""

import numpy as np

from ...contracts import Floats, Integers, Mask


def clips_around(
    numbers: Integers, times: Floats, chosen: Mask, seconds: float, end: tuple[int | None, float | None]
) -> list[tuple[int, int]]:
    """(first, last) frame numbers from ``seconds`` before to ``seconds`` after each chosen row of one video, in order;
    clips that overlap or touch are one.

    Args:
        numbers, times: (M,) frame numbers from 1, and seconds, of the video's rows; between them frames are taken to be
            even
        chosen: (M,) bool
        end: number and time of the video's last frame, where they are known
    """
    order = np.argsort(times, kind="stable")
    numbers, times, chosen = numbers[order], times[order], chosen[order]
    last, last_time = end
    if last is not None and last_time is not None and last > numbers[-1] and last_time > times[-1]:
        numbers, times = np.append(numbers, last), np.append(times, last_time)
    centres = times[: len(chosen)][chosen]
    first = np.ceil(np.interp(centres - seconds, times, numbers) - 1e-6).astype(int).tolist()
    after = np.floor(np.interp(centres + seconds, times, numbers) + 1e-6).astype(int).tolist()
    clips: list[tuple[int, int]] = []
    for begin, stop in zip(first, after):
        if clips and begin <= clips[-1][1] + 1:
            clips[-1] = (clips[-1][0], max(clips[-1][1], stop))
        else:
            clips.append((begin, stop))
    return clips
