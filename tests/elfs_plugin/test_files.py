import errno
import os
import tempfile

import numpy as np
import pytest

from elfs_plugin import files
from elfs_plugin.files import keep, reserve, reserved_npy, reserved_temporary, whole_file

NO_ROOM = OSError(errno.ENOSPC, "No space left on device")


def fail(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


# Whole files


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["a.bin"]


def test_text(tmp_path):
    with whole_file(tmp_path / "a.csv", "w", encoding="utf-8", newline="") as file:
        file.write("ö\r\n")
    assert (tmp_path / "a.csv").read_bytes() == "ö\r\n".encode()


@pytest.mark.parametrize("error", [NO_ROOM, KeyError("x"), KeyboardInterrupt()])
def test_on_an_error_nothing_changes(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), whole_file(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


def test_no_room_names_the_file(tmp_path):
    with pytest.raises(OSError) as caught, whole_file(tmp_path / "a.bin"):
        fail()
    assert caught.value.filename == str(tmp_path / "a.bin")


def test_another_error_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, whole_file(tmp_path / "a.bin"):
        open(tmp_path / "nowhere")
    assert caught.value.filename == str(tmp_path / "nowhere")


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "a.bin").symlink_to(tmp_path / "theirs")
    with whole_file(tmp_path / "a.bin") as file:
        file.write(b"new")
    assert (tmp_path / "theirs").read_bytes() == b"theirs"
    assert (tmp_path / "a.bin").read_bytes() == b"new" and not (tmp_path / "a.bin").is_symlink()


def test_what_has_the_name_of_the_file_in_the_making_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "partial_path", lambda path: tmp_path / "x.partial")
    (tmp_path / "theirs").write_bytes(b"theirs")
    (tmp_path / "x.partial").symlink_to(tmp_path / "theirs")
    with pytest.raises(FileExistsError), whole_file(tmp_path / "a.bin"):
        pass
    assert (tmp_path / "x.partial").is_symlink() and (tmp_path / "theirs").read_bytes() == b"theirs"


def test_impossible_targets_are_found_before_the_work(tmp_path):
    (tmp_path / "folder").mkdir()
    for path, kind in (
        (tmp_path / "folder", IsADirectoryError),
        (tmp_path / ("x" * 300), OSError),
        (tmp_path / "a\0b", ValueError),
        (tmp_path / "nowhere" / "a", FileNotFoundError),
    ):
        with pytest.raises(kind), whole_file(path):
            pytest.fail("the work was begun")
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.parametrize("name", ["x" * 255, "写" * 85])
def test_a_name_as_long_as_it_may_be(tmp_path, name):
    with whole_file(tmp_path / name) as file:
        file.write(b"1")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("flush", [False, True])
def test_a_file_is_on_the_disk_before_it_takes_a_place_where_that_is_asked_for(tmp_path, monkeypatch, flush):
    flushed, true_fsync = [], os.fsync

    def fsync(descriptor):
        flushed.append(os.fstat(descriptor).st_size)
        true_fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    with whole_file(tmp_path / "a.bin", flush=flush) as file:
        file.write(b"123")
    assert flushed == ([3] if flush else [])


def test_what_one_can_do_without_is_kept_where_it_can_be(tmp_path):
    assert keep(tmp_path / "new" / "file", lambda file: file.write(b"1"))
    assert (tmp_path / "new" / "file").read_bytes() == b"1"
    assert not keep(tmp_path / "none" / "file", lambda file: file.write(b"1"), make_folder=False)
    assert not keep(tmp_path / "new" / "file" / "x", lambda file: file.write(b"1"))
    with pytest.raises(ZeroDivisionError):
        keep(tmp_path / "other", lambda file: 1 / 0)
    assert sorted(os.listdir(tmp_path)) == ["new"]


# Reserved space


def test_a_reserved_array_has_its_blocks_before_it_is_written(tmp_path):
    array = reserved_npy(tmp_path / "a.npy", np.float16, (1000, 500))
    assert array.shape == (1000, 500) and array.dtype == np.float16 and not array.any()
    assert os.stat(tmp_path / "a.npy").st_blocks * 512 >= 1_000_000
    array[:] = 3
    array.flush()
    assert (np.load(tmp_path / "a.npy") == 3).all()


def test_where_space_cannot_be_reserved_it_is_written(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(files, "_BLOCK", 1000)
    for there in (True, False):
        if there:
            monkeypatch.setattr(files.os, "posix_fallocate", refuse)
        else:
            monkeypatch.delattr(files.os, "posix_fallocate")
        path = tmp_path / f"{there}.npy"
        reserved_npy(path, np.int32, (12_345, 3))[5] = 7
        assert os.stat(path).st_blocks * 512 >= 12_345 * 3 * 4
        found = np.load(path)
        assert found.shape == (12_345, 3) and found.sum() == 21


def test_an_empty_array(tmp_path):
    assert reserved_npy(tmp_path / "a.npy", np.int32, (0, 16)).shape == (0, 16)
    assert np.load(tmp_path / "a.npy").shape == (0, 16)


def test_no_room_for_an_array_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "posix_fallocate", fail)
    with pytest.raises(OSError) as caught:
        reserved_npy(tmp_path / "a.npy", np.int32, (10, 3))
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(tmp_path / "a.npy")
    assert os.listdir(tmp_path) == []


def test_more_than_any_disk_has(tmp_path):
    with pytest.raises(OSError):
        reserved_npy(tmp_path / "a.npy", np.uint8, (1 << 50,))
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        reserved_npy(tmp_path / "a.npy", np.int32, (10, 3))
    assert (tmp_path / "a.npy").read_bytes() == b"theirs"


def test_temporary_arrays(monkeypatch):
    array = reserved_temporary(np.uint8, (100, 3))
    assert array.shape == (100, 3) and not array.any()
    array[:] = 1
    monkeypatch.setattr(files.os, "posix_fallocate", fail)
    with pytest.raises(OSError) as caught:
        reserved_temporary(np.uint8, (100, 3))
    assert caught.value.filename == tempfile.gettempdir()


def test_nothing_to_reserve(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        reserve(file, 0)
    assert os.path.getsize(tmp_path / "a") == 0
