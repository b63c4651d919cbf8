"""What becomes of a block on which workers die, with an engine whose workers are calls."""

import numpy as np
import pytest
from PIL import Image

from elfs_plugin.encoders import spread
from elfs_plugin.encoders.embed import embed_images
from elfs_plugin.engine.base import Crashed
from elfs_plugin.engine.choose import using
from elfs_plugin.errors import EngineFailed, InvalidInput
from elfs_plugin.progress import silent


class Died(BaseException):
    """In place of the death of a process."""


class Calls:
    """An engine. A worker dies where ``deadly(paths)`` says so of what it has been given."""

    name, distributed = "calls", True
    widest, cpus, gpus = 1, 1, 0

    def __init__(self, deadly):
        self._deadly, self.alone = deadly, []

    def device(self, device):
        return "cpu"

    def on_each_node(self, piece, progress):
        return {}

    def each(self, make, items, progress, *, threads, gpus=0.0):
        function = make.function(*make.arguments)
        for number, paths in items:
            yield number, Crashed("gone") if self._deadly(paths) else function(paths)

    def attempt(self, pieces, progress=silent, *, threads=None, gpus=0.0, retries=0):
        for index, piece in enumerate(pieces):
            paths = piece.arguments[1] if piece.function is spread.embedded else []
            if len(paths) == 1:
                self.alone += paths
            crashes = bool(paths) and self._deadly(paths)
            yield index, Crashed("gone") if crashes else piece.function(*piece.arguments, silent)

    def close(self):
        pass


class Means:
    batch_size, parallel = 8, True
    name = identity = "means"

    def transform(self, image):
        return np.asarray(image, dtype=np.float32).mean(axis=(0, 1))

    def encode(self, batch):
        return np.stack(batch)


class Settling(Means):
    def settle_as(self, way, values):
        self.given = [int(value[0]) for value in values]


@pytest.fixture
def paths(tmp_path):
    """20 images."""
    found = [str(tmp_path / f"{index}.png") for index in range(20)]
    for index, path in enumerate(found):
        Image.new("RGB", (4, 4), (index, 0, 0)).save(path)
    return found


def test_an_image_is_to_blame_after_three_deaths_and_is_tried_again_in_the_next_job(paths, tmp_path):
    engine, kept = Calls(lambda given: paths[3] in given), tmp_path / "blocks"
    with using(engine):
        assert embed_images(paths, Means(), kept=kept).failures == {3: spread.POISONED}
    assert engine.alone.count(paths[3]) == 3
    with using(Calls(lambda given: False)):
        assert embed_images(paths, Means(), kept=kept).failures == {}


def test_an_image_that_is_embedded_at_the_third_time_is_not_to_blame(paths):
    engine = Calls(lambda given: paths[3] in given and engine.alone.count(paths[3]) < 3)
    with using(engine):
        assert embed_images(paths, Means()).failures == {}


def test_where_no_image_is_to_blame_the_job_ends_and_no_image_is_listed(paths, tmp_path):
    with using(Calls(lambda given: len(given) > 8)):
        with pytest.raises(EngineFailed, match=r"images 0 to 19, also without those on which they die alone\. gone"):
            embed_images(paths, Means(), kept=tmp_path / "blocks")
    with using("local"):
        assert embed_images(paths, Means(), kept=tmp_path / "blocks").failures == {}


@pytest.mark.parametrize("gone, seen", [([], [0, 1]), ([0], [1, 2]), ([0, 1], [2, 2])])
def test_examples_that_cannot_be_read_any_more_are_left_out(paths, gone, seen):
    examples = tuple("gone.png" if index in gone else path for index, path in enumerate(paths[:3]))
    recipe = spread.Recipe(None, None, Settling(), "cpu", "means", None, "fast", examples)
    assert spread.opened(recipe).given == seen


def test_a_node_that_reads_none_of_the_examples_says_so():
    recipe = spread.Recipe(None, None, Settling(), "cpu", "means", None, "fast", ("gone.png",))
    with pytest.raises(InvalidInput, match=r"On the node \S+ the image gone\.png and others cannot be read"):
        spread.opened(recipe)
