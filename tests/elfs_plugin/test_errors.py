import errno

import pytest

from elfs_plugin import errors
from elfs_plugin.errors import RESUME, explain


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
        foreign("torch", "OutOfMemoryError", "CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"),
    ],
)
def test_out_of_memory(error):
    assert explain(error).startswith("Out of memory. Use a smaller batch")
    assert explain(error).endswith(RESUME)


def test_full_disk_names_the_file():
    text = explain(OSError(errno.ENOSPC, "No space left on device", "/data/x.npz"))
    assert text.startswith("The disk is full (/data/x.npz)") and text.endswith(RESUME)
    assert "no file named" in explain(OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("name", ["ServerSelectionTimeoutError", "AutoReconnect", "NetworkTimeout", "NotPrimaryError"])
def test_lost_database(name):
    assert explain(foreign("pymongo.errors", name)).startswith("The connection to MongoDB was lost")


def test_database_disk_full():
    assert explain(foreign("pymongo.errors", "WriteError", "No space left")).startswith("MongoDB's disk is full")


def test_anything_else_keeps_its_kind_and_message():
    assert explain(KeyError("x")) == "KeyError: 'x'"
    assert explain(foreign("elsewhere", "AutoReconnect")) == "AutoReconnect: gone"
    assert explain(OSError(errno.EACCES, "denied", "/x")).startswith("PermissionError: ")
