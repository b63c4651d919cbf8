"""Small real videos."""

import cv2
import numpy as np


def write_video(path, images, fps=10):
    """Writes (H, W, 3) uint8 images as a video of so many frames in a second."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, images[0].shape[1::-1])
    assert writer.isOpened()
    for image in images:
        writer.write(image)
    writer.release()
    return str(path)


def scenes(seconds=4, fps=10, seed=0, size=32):
    """Images of one scene for each second: a pattern of its own with a little noise."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(seconds):
        scene = np.kron(rng.integers(0, 200, (4, 4, 3)), np.ones((size // 4, size // 4, 1)))
        found += [(scene + rng.integers(0, 20, scene.shape)).astype(np.uint8) for _ in range(fps)]
    return found
