import contextlib
import os
import time

import numpy as np
import pytest
from PIL import Image

from elfs_plugin.engine.choose import using


@pytest.fixture(scope="module")
def small():
    """Two processors, and an object store of 100 MB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELFS_RAY_CPUS", "2")
        patch.setenv("ELFS_RAY_STORE_MB", "100")
        yield


@pytest.fixture(scope="module")
def engine(small):
    """The engine 'ray' on a cluster of its own, in use by all tests of the module."""
    ray = pytest.importorskip("ray")

    from tests.elfs_plugin.engine import workers

    ray.cloudpickle.register_pickle_by_value(workers)
    with using("ray") as found:
        yield found


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Paths of 600 images in three blocks; the sixth does not exist, and the fourth's first pixel is red."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    paths = [folder / f"{index:03}.png" for index in range(600)]
    for index, path in enumerate(paths):
        pixels = rng.integers(0, 250, (12, 12, 3), dtype=np.uint8)
        if index == 3:
            pixels[0, 0] = (255, 0, 0)
        if index != 5:
            Image.fromarray(pixels).save(path)
    return paths


@pytest.fixture
def alive():
    """Whether a process is there, as a function of its number."""

    def look(pid):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
        return False

    return look


@pytest.fixture
def until():
    """Waits for a condition, for half a minute."""

    def wait(condition, seconds=30):
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, "it did not come to pass"
            time.sleep(0.05)
        return found

    return wait


@pytest.fixture
def pids():
    """Numbers of the processes that have left a file in a folder."""
    return lambda folder: [int(name.removesuffix(".pid")) for name in os.listdir(folder) if name.endswith(".pid")]
