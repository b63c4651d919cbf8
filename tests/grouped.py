"""Small grouped datasets."""

import os

import fiftyone as fo
import numpy as np

SCENES = 4


def grouped(paths, lacking=None, extra=("video", "a.mp4"), field="group"):
    """A grouped dataset of slices ``left`` and ``right``, each group with two of the ``paths`` of images, and a third
    one, ``extra`` (slice, path), of another medium.

    ``lacking``: number of a group -> slices that it lacks. Field ``n`` is the number of the group, ``vector`` is near
    to that of its scene, of which there are :data:`SCENES`, and longer in the right slice.
    """
    lacking = lacking or {}
    dataset = fo.Dataset(f"grouped-{os.urandom(6).hex()}")
    dataset.add_group_field(field, default="left")
    dataset.add_sample_field("vector", fo.VectorField)
    rng = np.random.default_rng(0)
    samples = []
    for n, (left, right) in enumerate(zip(paths[::2], paths[1::2])):
        group = fo.Group()
        for name, path, length in (("left", left, 1.0), ("right", right, 3.0), (*extra, None)):
            if name in lacking.get(n, ()):
                continue
            sample = fo.Sample(str(path), n=n, tags=["mine"])
            sample[field] = group.element(name)
            if length is not None:
                vector = np.eye(SCENES)[n % SCENES] + 0.05 * rng.normal(size=SCENES)
                sample["vector"] = length * vector / np.linalg.norm(vector)
            samples.append(sample)
    dataset.add_samples(samples)
    return dataset


def all_slices(dataset):
    """Every sample of a grouped dataset, of any medium."""
    return dataset.select_group_slices(_allow_mixed=True)
