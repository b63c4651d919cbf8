import os

import pytest
from PIL import Image

from elfs_plugin.cli import demo


def test_the_digits_are_written_once_and_whole(tmp_path, monkeypatch):
    true, written = Image.Image.save, []

    def stops(image, file, **kwargs):
        if len(written) == 3:
            file.write(b"\x89PNG half")
            raise KeyboardInterrupt
        written.append(file)
        return true(image, file, **kwargs)

    with monkeypatch.context() as stopped:
        stopped.setattr(Image.Image, "save", stops)
        with pytest.raises(KeyboardInterrupt):
            demo.write_digits(tmp_path / "digits")
    assert sorted(os.listdir(tmp_path / "digits")) == ["0000.png", "0001.png", "0002.png"]
    labels = demo.write_digits(tmp_path / "digits")
    assert len(labels) == len(os.listdir(tmp_path / "digits")) == 1797 and set(labels.values()) == set(range(10))
    assert all(os.path.isfile(path) for path in labels)
    times = [os.stat(path).st_mtime_ns for path in labels]
    demo.write_digits(tmp_path / "digits")
    assert times == [os.stat(path).st_mtime_ns for path in labels]
