import errno
import shutil
import tempfile

import numpy as np
import pytest
import torch

from elfs_plugin import errors
from elfs_plugin.errors import RESUME, explain, is_gpu_lost, is_out_of_memory


def foreign(module, name, message="gone"):
    return type(name, (Exception,), {"__module__": module})(message)


@pytest.mark.parametrize(
    "kind",
    [errors.InvalidInput, errors.MissingModel, errors.NameTaken, errors.Busy, errors.Cancelled],
)
def test_own_errors_explain_themselves(kind):
    error = kind("do this instead")
    assert isinstance(error, errors.ElfsError)
    assert explain(error) == "do this instead"


def test_invalid_input_is_a_value_error_and_names_its_field():
    error = errors.InvalidInput("too large", "budget")
    assert isinstance(error, ValueError) and error.field == "budget"
    assert errors.InvalidInput("too large").field is None
    assert errors.NameTaken("taken", "tag").field == "tag"


def test_cancelled_says_that_it_resumes():
    assert "resumes" in str(errors.Cancelled())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype("u1")),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError("out of memory when reading image file"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("can't start new thread"),
        ImportError("libopenblaso-r0.so: failed to map segment from shared object"),
        ImportError("libgomp.so.1: cannot allocate memory"),
        RuntimeError("could not create a primitive"),
        RuntimeError("could not create a primitive descriptor for the matmul"),
        RuntimeError("std::bad_alloc"),
        foreign("cv2", "error", "OpenCV(4) alloc.cpp:66: error: (-4:Insufficient memory) Failed to allocate 9 bytes"),
    ],
    ids=str,
)
def test_out_of_memory(error):
    assert is_out_of_memory(error)
    assert explain(error).startswith("Out of memory. Close other programs") and explain(error).endswith(RESUME)
    assert RESUME not in explain(error, resumes=False) and "unharmed" in explain(error, resumes=False)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 5 GB, max allowed: 6 GB)."),
    ],
    ids=str,
)
def test_out_of_memory_on_a_gpu(error):
    assert explain(error).startswith("Out of memory on the GPU. ") and "'cpu'" in explain(error)


@pytest.mark.parametrize(
    "error",
    [
        KeyError("out of memory"),
        ValueError("no field named 'out of memory'"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "out of memory.png"),
        ImportError("libgomp.so.1: cannot allocate memory in static TLS block"),
        errors.InvalidInput("out of memory"),
        foreign("pymongo.errors", "OperationFailure", "out of memory"),
    ],
    ids=str,
)
def test_other_errors_are_no_shortage_of_memory(error):
    assert not is_out_of_memory(error)
    assert not explain(error).startswith("Out of memory.")


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: device-side assert triggered\nmore"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA driver error: device unavailable"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    ],
    ids=str,
)
def test_a_gpu_or_a_driver_that_fails(error):
    assert is_gpu_lost(error)
    assert explain(error).startswith("The GPU failed or its driver is gone (") and RESUME in explain(error)
    assert "\nmore" not in explain(error)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.AcceleratorError("CUDA error: out of memory"),
        torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing"),
        errors.InvalidInput("The device 'cuda' cannot be used (CUDA error: no device)."),
        ValueError("CUDA error"),
        RuntimeError("shapes do not fit"),
    ],
    ids=str,
)
def test_other_errors_are_no_lost_gpu(error):
    assert not is_gpu_lost(error) and "driver" not in explain(error)


def test_what_is_behind_an_error_is_found():
    def raised(raiser):
        with pytest.raises(Exception) as caught:
            raiser()
        return caught.value

    def wrapped():
        try:
            raise MemoryError
        except MemoryError as error:
            raise RuntimeError("the loader failed") from error

    def implied():
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/")
        except OSError:
            raise KeyError("cleaning up")  # noqa: B904

    def unrelated():
        try:
            raise MemoryError
        except MemoryError:
            raise KeyError("x") from None

    assert explain(raised(wrapped)).startswith("Out of memory.")
    assert explain(raised(implied)).startswith("The disk is full (/).")
    assert "KeyError: 'x'" in explain(raised(unrelated))


def test_a_chain_that_bites_its_tail():
    first, second = KeyError("a"), KeyError("b")
    first.__cause__, second.__cause__ = second, first
    assert "KeyError: 'a'" in explain(first)


# Disks and paths


def test_full_disk_names_the_folder(tmp_path):
    full = (errno.ENOSPC, "No space left on device")
    text = explain(OSError(*full, str(tmp_path / "x.npz")))
    assert text.startswith(f"The disk is full ({tmp_path}). ") and text.endswith(RESUME)
    assert explain(OSError(*full, str(tmp_path))).startswith(f"The disk is full ({tmp_path}). ")
    assert "resumes" not in explain(OSError(*full), resumes=False)


def test_full_disk_of_a_copy_names_where_it_goes(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device", "/data/source.jpg", None, str(tmp_path / "copy.jpg"))
    assert explain(error).startswith(f"The disk is full ({tmp_path}). ")


def test_full_disk_without_a_name_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("ELFS_HOME", str(tmp_path / "home" / "elfs"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        errors.shutil, "disk_usage", lambda path: usage._replace(free=0 if path == str(tmp_path) else 1 << 40)
    )
    error = OSError(errno.ENOSPC, "No space left on device")
    assert explain(error).startswith(f"The disk is full ({tmp_path / 'home' / 'elfs'}). ")
    monkeypatch.setattr(errors.shutil, "disk_usage", lambda path: usage._replace(free=1 << 40))
    assert explain(error).startswith("The disk is full. ")


def test_full_temporary_folder_has_another_way_out():
    error = OSError(errno.ENOSPC, "No space left on device", tempfile.gettempdir())
    assert f"({tempfile.gettempdir()})" in explain(error) and "TMPDIR" in explain(error)


@pytest.mark.parametrize(
    "error",
    [OSError("4000 requested and 512 written"), RuntimeError("PytorchStreamWriter failed writing file data/0")],
)
def test_full_disk_in_other_words(error):
    assert "disk is full" in explain(error)


def test_quota():
    assert explain(OSError(errno.EDQUOT, "Disk quota exceeded", "/")).startswith("Your disk quota is used up (/).")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "There is no permission to use /data/x."),
        (errno.EROFS, "/data/x is on a file system that can only be read."),
        (errno.ENAMETOOLONG, "too long"),
        (errno.EEXIST, "There is something at /data/x already."),
        (errno.ENOTDIR, "A part of /data/x is a file"),
        (errno.EISDIR, "/data/x is a folder"),
        (errno.ENOENT, "/data/x does not exist"),
        (errno.EMFILE, "Too many files are open."),
    ],
)
def test_paths_that_cannot_be_used(number, words):
    text = explain(OSError(number, "said", "/data/x"))
    assert words in text and "Errno" not in text and text.endswith(RESUME)


def test_odd_paths():
    assert "NUL" in explain(ValueError("embedded null byte"))
    assert len(explain(OSError(errno.ENAMETOOLONG, "File name too long", "/" + "x" * 5000))) < 500
    assert explain(OSError(errno.ENOENT, "gone")).startswith("A file does not exist")
    assert explain(OSError(errno.EACCES, "denied", b"/x")).startswith("There is no permission to use /x.")
    assert "ProcessLookupError" in explain(OSError(errno.ESRCH, "No such process"))


# The database


@pytest.mark.parametrize("name", ["ServerSelectionTimeoutError", "AutoReconnect", "NetworkTimeout", "NotPrimaryError"])
def test_lost_database(name):
    assert explain(foreign("pymongo.errors", name)).startswith("The connection to MongoDB was lost")


def test_database_disk_full():
    assert explain(foreign("pymongo.errors", "WriteError", "No space left")).startswith("MongoDB's disk is full")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Dataset 'x' is deleted"),
        foreign("fiftyone.core.dataset", "DatasetNotFoundError", "Dataset 'x' not found"),
    ],
)
def test_a_dataset_that_was_deleted(error):
    assert explain(error) == ("The dataset was deleted in FiftyOne meanwhile. Choose another one, or load it again.")


@pytest.mark.parametrize(
    "text",
    [
        "Cannot infer an appropriate type for non-existent sample field 'elfs.rank' on Dataset",
        "Invalid sample field 'elfs.rank.x'; field 'elfs.rank' does not exist",
        "Dataset has no sample field 'elfs.rank'",
    ],
)
def test_a_field_that_was_deleted(text):
    assert explain(ValueError(text)) == (
        f"The field 'elfs.rank' was deleted or changed meanwhile, in FiftyOne or by another job. {RESUME}"
    )


def test_anything_else_is_a_sentence_with_its_kind_and_message():
    assert explain(KeyError("x")) == (
        "Something unexpected happened (KeyError: 'x'). Your data is unharmed; run it again and it resumes from the "
        "last finished stage."
    )
    assert explain(KeyError("x"), resumes=False).endswith("(KeyError: 'x'). Your data is unharmed; try it again.")
    assert "(AssertionError)" in explain(AssertionError())
    assert "(AutoReconnect: gone)" in explain(foreign("elsewhere", "AutoReconnect"))
    text = explain(RuntimeError("first line\nsecond line" + "x" * 1000))
    assert "first line" in text and "second" not in text
