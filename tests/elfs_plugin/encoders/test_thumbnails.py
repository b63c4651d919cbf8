import base64
import io
import os

import numpy as np
import pytest
from PIL import Image

from elfs_plugin.encoders import thumbnails
from elfs_plugin.encoders.thumbnails import thumbnail


def decoded(uri):
    head, data = uri.split(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_the_middle_square_of_a_wide_image(tmp_path):
    pixels = np.zeros((20, 60, 3), dtype=np.uint8)
    pixels[:, 20:40] = 255
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    found = decoded(thumbnail(tmp_path / "wide.png", 10))
    assert found.shape == (10, 10, 3)
    assert found.min() > 240


def test_small_images_keep_their_pixels(tmp_path):
    Image.fromarray(np.array([[0, 255], [255, 0]], dtype=np.uint8)).save(tmp_path / "tiny.png")
    found = decoded(thumbnail(tmp_path / "tiny.png", 64))[..., 0]
    assert found[:24, :24].max() < 30
    assert found[:24, 40:].min() > 225


def test_a_changed_file_is_read_again(tmp_path):
    path = tmp_path / "image.png"
    for value, modified in ((0, 1), (255, 2)):
        Image.new("RGB", (8, 8), (value,) * 3).save(path)
        os.utime(path, ns=(modified, modified))
        assert abs(int(decoded(thumbnail(path, 8)).mean()) - value) < 3


def test_impossible_paths_have_no_thumbnail(tmp_path):
    assert thumbnail("a\0b.png") is None and thumbnail(tmp_path / ("x" * 300)) is None


def test_without_memory_there_is_no_thumbnail(tmp_path, monkeypatch):
    def fail(path):
        raise OSError("out of memory when reading image file")

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.setattr(thumbnails, "load_rgb", fail)
    assert thumbnail(tmp_path / "a.png") is None


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_what_cannot_be_read_has_no_thumbnail(tmp_path, content):
    if content is not None:
        (tmp_path / "x.png").write_bytes(content)
    assert thumbnail(tmp_path / "x.png") is None
