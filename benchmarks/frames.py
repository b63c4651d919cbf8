"""Frames of a video with slow and fast parts and scenes that come back: how many scenes the chosen frames show.

A video is written, read again at a rate, and its frames are embedded as thumbnails. Most of its scenes pass in a second
or two, a few stay for long, some come back. What scene a frame is of is used to measure alone.

    python -m benchmarks.frames [--scenes 60] [--seeds 5] [--save]
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from elfs_plugin.choice import choose
from elfs_plugin.encoders.embed import embed_images
from elfs_plugin.selectors import Pool
from elfs_plugin.video import sampled_frames

from .results import Column, Table, mean_sd, percent, started

RATE = 10
"""Frames in a second of the video."""
SAMPLED = 2
"""Of these, so many are rows."""
SIZE = (64, 48)
METHODS = ("random", "k_center", "max_herding", "graph_coverage", "zcore")
GAP = 2.0


@dataclass
class Frames:
    """(N, D) vectors of the rows, their (N,) times in seconds and the (N,) scene of each."""

    vectors: np.ndarray
    times: np.ndarray
    scenes: np.ndarray


def shots(scenes, rng):
    """[(scene, seconds)]: a sixth of the scenes stay for 20 to 60 seconds, the others for one or two; a sixth comes
    back for 10 to 20."""
    slow = rng.random(scenes) < 1 / 6
    found = [(s, float(rng.uniform(20, 60) if slow[s] else rng.uniform(1, 2))) for s in range(scenes)]
    for scene in rng.choice(scenes, scenes // 6, replace=False).tolist():
        found.insert(int(rng.integers(scene + 1, len(found) + 1)), (scene, float(rng.uniform(10, 20))))
    return found


def made(scenes, seed, folder):
    """The :class:`Frames` of a video."""
    rng = np.random.default_rng(seed)
    pictures = [_picture(rng) for _ in range(scenes)]
    path, shown = str(folder / "video.avi"), []
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), RATE, SIZE)
    for scene, seconds in shots(scenes, rng):
        at = rng.integers(0, 16, 2).astype(float)
        for _ in range(int(seconds * RATE)):
            at = np.clip(at + rng.normal(scale=0.3, size=2), 0, 16)  # the camera moves a little
            x, y = at.astype(int)
            image = pictures[scene][y : y + SIZE[1], x : x + SIZE[0]] + rng.normal(scale=4, size=(SIZE[1], SIZE[0], 3))
            writer.write(image.clip(0, 255).astype(np.uint8))
            shown.append(scene)
    writer.release()
    rows = list(sampled_frames(path, SAMPLED))
    paths = [str(folder / f"{frame.number:06}.jpg") for frame in rows]
    for frame, place in zip(rows, paths):
        cv2.imwrite(place, frame.image)
    vectors = embed_images(paths, "pixels").vectors
    return Frames(vectors, np.array([f.time for f in rows]), np.array([shown[f.number - 1] for f in rows]))


def _picture(rng):
    """A scene larger than the frame: blobs of colour."""
    height, width = SIZE[1] + 16, SIZE[0] + 16
    coarse = rng.uniform(0, 255, (5, 6, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def uniform(frames, budget):
    """Rows at even distances in time."""
    wanted = (np.arange(budget) + 0.5) * frames.times[-1] / budget
    return np.unique(np.abs(frames.times[:, None] - wanted).argmin(axis=0))


def by_method(frames, method, budget, seed, gap):
    n = len(frames.times)
    labels = np.zeros(n, dtype=np.int64)
    pool = Pool(np.arange(n), embeddings=frames.vectors, pseudo_labels=labels, parents=labels, times=frames.times)
    spread = None if gap is None else {"gap": gap}
    return choose(method, pool, budget, seed=seed, spread=spread).selection.indices


def measured(frames, rows):
    """(share of the scenes that the rows show, share of the rows whose scene another one shows already)."""
    different = len(np.unique(frames.scenes[rows]))
    return different / len(np.unique(frames.scenes)), 1 - different / len(rows)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.5, 1, 2], help="in multiples of the scenes")
    options, recording = started("frames", parser, arguments)
    videos = []
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            videos.append(made(options.scenes, seed, Path(folder)))
    tables = {}
    for times in options.budgets:
        budget = int(times * options.scenes)
        titles = [percent("scenes shown"), percent("repeated")]
        table = tables[f"budget_{budget}"] = Table([Column(f"{budget} of {len(videos[0].times):,} frames"), *titles])
        print("\n" + table.head())
        print(table.add("uniform in time", *_cells([measured(video, uniform(video, budget)) for video in videos])))
        for gap in (None, GAP):
            for method in METHODS:
                found = [
                    measured(video, by_method(video, method, budget, seed, gap)) for seed, video in enumerate(videos)
                ]
                name = method if gap is None else f"{method}, {gap:g} s apart"
                print(table.add(name, *_cells(found)), flush=True)
    recording.finish(tables)


def _cells(found):
    return [mean_sd(values) for values in zip(*found)]


if __name__ == "__main__":
    main()
