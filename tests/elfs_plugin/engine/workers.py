"""What the tests have workers do. It goes to them by value: they cannot import a test."""

import os
import signal
import time

import numpy as np
from PIL import Image


class Means:
    """An encoder: the mean colour of an image and its first pixels, after ``seconds`` for each batch.

    It leaves the number of its process in ``folder``, and its process dies on an image whose first pixel is red.
    """

    batch_size = 8
    parallel = True
    name = identity = "means"

    def __init__(self, folder, seconds=0.0, deadly=False):
        self.folder, self.seconds, self.deadly = str(folder), seconds, deadly

    def transform(self, image: Image.Image):
        values = np.asarray(image.resize((8, 8)), dtype=np.float32)
        if self.deadly and tuple(np.asarray(image)[0, 0]) == (255, 0, 0):
            os.kill(os.getpid(), signal.SIGKILL)
        return np.concatenate([values.mean(axis=(0, 1)), values[0].ravel()])

    def encode(self, batch):
        with open(f"{self.folder}/{os.getpid()}.pid", "a") as file:
            file.write(f"{len(batch)}\n")
        time.sleep(self.seconds)
        return np.stack(batch)


def total(values, number, report):
    return float(values.sum()) + number


def process(report):
    return os.getpid()


def fails(report):
    raise ValueError("told as it is")


def waits(folder, seconds, report):
    """Waits the first time; a second attempt, in another process, returns at once."""
    seen = len(os.listdir(folder))
    with open(f"{folder}/{os.getpid()}.pid", "w"):
        pass
    end = time.monotonic() + (0 if seen else seconds)
    try:
        while time.monotonic() < end:
            time.sleep(0.05)
            report(0.5)
    finally:
        with open(f"{folder}/{os.getpid()}.ended", "w"):
            pass
    return seen


def dies(report):
    os.kill(os.getpid(), signal.SIGKILL)


def what_is_loaded(function, report):
    """Under which name a function came, and from where FiftyOne and the library were loaded."""
    import sys

    top = sys.modules.get("fiftyone")
    library = sys.modules[function.__module__]
    return function.__module__, getattr(top, "__file__", None), library.__file__
