"""Frames of a video file, sampled at a rate while the file is decoded once.

OpenCV reads the file; it comes with FiftyOne and needs no other program.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .contracts import AnyPath, Array
from .errors import ElfsError

_EARLY = 0.001
"""Seconds that a frame may come before the time that is asked for: containers round their timestamps."""


class UnreadableVideo(ElfsError):
    """A video that gives no frames; the message says why, in a few words."""


@dataclass(frozen=True)
class Frame:
    """``number`` from 1 in the order of the file, ``time`` in seconds after the first frame, ``image`` (H, W, 3) uint8
    in the order blue, green, red."""

    number: int
    time: float
    image: Array


@dataclass
class Length:
    """How much of a video has been read: ``frames``, and ``seconds`` from the first to the last of them."""

    frames: int = 0
    seconds: float = 0.0


def sampled_frames(path: AnyPath, fps: float | None, length: Length | None = None) -> Iterator[Frame]:
    """The first frame at or after each multiple of 1 / ``fps`` seconds; None: every frame.

    Times are the timestamps in the file, which need not be even. Where a timestamp is missing or does not grow, the
    frame comes one frame of the file's rate after the one before it. Frames that are not wanted are not made into
    images.

    Args:
        length: filled in while the file is read

    Raises:
        UnreadableVideo: for a file that cannot be opened, holds no frame, or says nothing about time
    """
    length = Length() if length is None else length
    video = _open(path)
    try:
        clock = _Clock(_rate(video))
        wanted = 0.0
        while video.grab():
            time = clock.next(_milliseconds(video))
            length.frames, length.seconds = length.frames + 1, time
            if fps is not None:
                if time + _EARLY < wanted:
                    continue
                wanted = (math.floor((time + _EARLY) * fps + 1e-9) + 1) / fps
            ok, image = video.retrieve()
            if ok:
                yield Frame(length.frames, time, image)
        if length.frames == 0:
            raise UnreadableVideo("it has no frames")
    finally:
        video.release()


def frame_rate(path: AnyPath) -> float | None:
    """Frames in a second, as the file says; None where it does not, or cannot be opened."""
    try:
        video = _open(path)
    except UnreadableVideo:
        return None
    try:
        return _rate(video)
    finally:
        video.release()


class _Clock:
    """Times of the frames of a file, which grow from 0."""

    def __init__(self, rate):
        self._rate, self._start, self._last = rate, None, None

    def next(self, stamp):
        if self._start is None:
            self._start, self._last = stamp, 0.0
            return 0.0
        time = (stamp - self._start) / 1000
        if not time > self._last:
            if self._rate is None:
                raise UnreadableVideo("it says nothing about the times of its frames")
            time = self._last + 1 / self._rate
        self._last = time
        return time


def _open(path):
    import cv2

    if not os.path.isfile(path):
        raise UnreadableVideo("the file is not there")
    if os.path.getsize(path) == 0:
        raise UnreadableVideo("the file is empty")
    video: Any = cv2.VideoCapture(os.fspath(path))
    if not video.isOpened():
        video.release()
        raise UnreadableVideo("it cannot be opened as a video")
    return video


def _rate(video):
    import cv2

    found = video.get(cv2.CAP_PROP_FPS)
    return found if math.isfinite(found) and 0 < found < 100_000 else None


def _milliseconds(video):
    import cv2

    found = video.get(cv2.CAP_PROP_POS_MSEC)
    return found if math.isfinite(found) else 0.0
