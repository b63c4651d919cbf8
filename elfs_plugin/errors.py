"""The errors this project raises on purpose. Their messages are written for the user: what is wrong, what to do."""

import contextlib
import errno
import os
import re
import shutil
import tempfile

from .text import first_line


class ElfsError(Exception):
    """Something the user can mend; ``str(error)`` says how."""


class InvalidInput(ElfsError, ValueError):
    """A parameter or an input is outside what the method accepts.

    ``field`` names the parameter, so that a form can show the message beside it.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class MissingModel(ElfsError):
    """A model is unknown, or its weights cannot be had."""


class NameTaken(ElfsError):
    """A field, tag, view or run of that name exists and was not written by this run."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Changed(NameTaken):
    """What is to be replaced is no longer what the caller has seen: somebody else saved something else meanwhile."""


class Busy(ElfsError):
    """Another job with the same run key is at work on the dataset."""


class TakenOver(ElfsError):
    """The job is no longer the owner of its run: another one took it for dead and has it now. It must write no more."""


class EngineFailed(ElfsError):
    """Workers in other processes could not do what they were given."""


class Cancelled(ElfsError):
    """The user cancelled the job."""

    def __init__(
        self, message: str = "Cancelled. What was finished is kept; running it again resumes from there."
    ) -> None:
        super().__init__(message)


UNHARMED = "Your data is unharmed"
RESUME = f"{UNHARMED}; run it again and it resumes from the last finished stage."

_MEMORY = re.compile(
    "out of memory|not enough memory|insufficient memory|can't allocate memory|unable to allocate|failed to allocate|"
    "cannot allocate memory(?! in static tls)|failed to map segment|can't start new thread|bad_?alloc|"
    "could not create a (primitive|memory)|enforce fail at alloc_|_alloc_failed|std::length_error",
    re.IGNORECASE,
)
"""How compilers, loaders, PyTorch, oneDNN, CUDA and Pillow say that there is no memory."""

_GPU = re.compile("cuda|cublas|cudnn|hip|mps|xpu", re.IGNORECASE)
_NOT_ABOUT_MEMORY = (LookupError, ValueError, TypeError, AttributeError, NameError)
"""What these say may hold any text of the user's."""

_GPU_LOST = re.compile(
    "(cuda|cuda driver|hip) error|cudnn_status_(execution_failed|internal_error)|cublas_status_execution_failed|"
    "gpu is lost|fallen off the bus|driver shutting down",
    re.IGNORECASE,
)
"""How PyTorch says that a GPU or its driver has failed; a lack of memory is asked about first."""

_CAPTURE = re.compile("captur", re.IGNORECASE)
"""A step that cannot be captured as a CUDA graph says so in an error of the same kind, and the GPU is well."""

_NO_FIELD = re.compile(
    r"non-existent (?:sample|frame) field '([^']*)'|field '([^']*)' does not exist|has no (?:sample )?field '([^']*)'"
)
"""How FiftyOne says it."""

_LOST = {
    "ServerSelectionTimeoutError",
    "AutoReconnect",
    "ConnectionFailure",
    "NetworkTimeout",
    "NotPrimaryError",
    "WaitQueueTimeoutError",
}

_PATHS = {
    errno.EACCES: "There is no permission to use {path}. Change its permissions, or choose another place.",
    errno.EPERM: "The system does not permit the use of {path}. Change its permissions, or choose another place.",
    errno.EROFS: "{path} is on a file system that can only be read. Choose another place.",
    errno.ENAMETOOLONG: "The name {path} is too long for the file system. Choose a shorter one.",
    errno.EEXIST: "There is something at {path} already. Choose another name, or move it away.",
    errno.ENOTEMPTY: "The folder {path} is not empty. Choose another one, or move away what is in it.",
    errno.ENOTDIR: "A part of {path} is a file and no folder. Choose another place.",
    errno.EISDIR: "{path} is a folder and no file. Choose another name.",
    errno.ENOENT: "{path} does not exist, or does no longer. Check the name.",
    errno.EIO: "The disk could not be read or written ({path}). Check it, or choose another place.",
    errno.EMFILE: "Too many files are open. Raise the limit (ulimit -n) or close other programs.",
    errno.ENFILE: "Too many files are open. Raise the limit (ulimit -n) or close other programs.",
}

_SPARE = 32 << 20


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, of whatever type, says that there is not enough memory (of the machine or the GPU)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    if isinstance(error, (ElfsError, *_NOT_ABOUT_MEMORY)) or type(error).__module__.startswith("pymongo"):
        return False
    return _MEMORY.search(str(error)) is not None


def is_gpu_lost(error: BaseException) -> bool:
    """Whether an exception says that a GPU or its driver has failed, so that this process can use it no more. A lack of
    memory is none of that."""
    if isinstance(error, ElfsError) or is_out_of_memory(error) or _CAPTURE.search(str(error)):
        return False
    if type(error).__name__ == "AcceleratorError":
        return True
    return isinstance(error, RuntimeError) and _GPU_LOST.search(str(error)) is not None


def explain(error: BaseException, resumes: bool = True) -> str:
    """One or two sentences for the user about any exception: what happened and what to do next.

    Args:
        resumes: whether the same call made again goes on from the last finished stage, as the stages of a run do
    """
    if isinstance(error, ElfsError):
        return str(error)
    after = RESUME if resumes else f"{UNHARMED}."
    sentence = _first(_shortage, _chain(error)) or _first(_of_the_field, _chain(error, implied=False))
    sentence = sentence or _of_the_path(error)
    if sentence is not None:
        return f"{sentence} {after}"
    if _first(_says_deleted, _chain(error, implied=False)):
        return "The dataset was deleted in FiftyOne meanwhile. Choose another one, or load it again."
    again = "run it again and it resumes from the last finished stage" if resumes else "try it again"
    lines = str(error).strip().splitlines()
    said = f": {lines[0][:300]}" if lines else ""
    return f"Something unexpected happened ({type(error).__name__}{said}). {UNHARMED}; {again}."


def _chain(error, implied=True, most=10):
    """The error, then what it came from, outermost first; with ``implied`` also what was being handled then."""
    found: list[BaseException] = []
    while error is not None and len(found) < most:
        found.append(error)
        context = error.__context__ if implied and not error.__suppress_context__ else None
        error = error.__cause__ or context
    return found


def _first(sentence, errors):
    return next(filter(None, map(sentence, errors)), None)


def _shortage(error):
    """A sentence where there was not enough of something, or the database was gone, else None."""
    text, kind = str(error), type(error).__name__
    if is_out_of_memory(error):
        if _GPU.search(text) and not isinstance(error, MemoryError):
            return (
                "Out of memory on the GPU. Close what else uses it, choose a smaller model or image size, or set the "
                "device to 'cpu'."
            )
        return "Out of memory. Close other programs, or choose a smaller view, encoder or proxy."
    if is_gpu_lost(error):
        return (
            f"The GPU failed or its driver is gone ({first_line(error)[:200]}). A program that this has happened to "
            "cannot use it any more: start it again, or set the device to 'cpu'. What was finished is kept."
        )
    if type(error).__module__.startswith(("pymongo", "mongoengine")):
        if "No space" in text or "OutOfDiskSpace" in text:
            return "MongoDB's disk is full. Free some space."
        if kind in _LOST or "Cannot use MongoClient after close" in text:
            return "The connection to MongoDB was lost. Check that the database is running."
        if kind == "DocumentTooLarge":
            return "MongoDB takes no document of that size. Choose a smaller view."
    if isinstance(error, OSError):
        if error.errno == errno.EDQUOT:
            return f"Your disk quota is used up{_full(error)}. Free some space."
        # NumPy's own writer has no number for it.
        if error.errno == errno.ENOSPC or (error.errno is None and re.search(r"\d requested and \d+ written", text)):
            return f"The disk is full{_full(error)}. Free some space{_elsewhere(error)}."
    if isinstance(error, RuntimeError) and re.search("PytorchStreamWriter failed|file write failed", text):
        return f"A file could not be written, probably because the disk is full{_full(error)}. Free some space."
    return None


def _full(error):
    """The folder that is full, in brackets; of a copy that is where it goes, not where it comes from."""
    path = getattr(error, "filename2", None) or getattr(error, "filename", None)
    if path is not None and not isinstance(path, int):
        path = os.fsdecode(path)
        return f" ({path if os.path.isdir(path) else os.path.dirname(os.path.abspath(path))})"
    with contextlib.suppress(OSError):
        home = os.path.expanduser(os.environ.get("ELFS_HOME") or "~/.fiftyone/elfs")
        found = [path for path in dict.fromkeys((home, tempfile.gettempdir(), os.getcwd())) if _is_full(path)]
        return f" ({', '.join(found)})" if found else ""
    return ""


def _is_full(path):
    path = os.path.abspath(path)
    while not os.path.isdir(path):  # a folder that is yet to be made
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free < _SPARE


def _elsewhere(error):
    """For the folder of temporary files there is another way out."""
    return ", or set TMPDIR to another folder" if getattr(error, "filename", None) == tempfile.gettempdir() else ""


def _says_deleted(error):
    said = re.search("Dataset '.*' (is deleted|not found)", str(error))
    return said is not None or type(error).__name__ == "DatasetNotFoundError"


def _of_the_field(error):
    """A sentence where a field was taken away under a job, else None."""
    field = _NO_FIELD.search(str(error))
    if field is None:
        return None
    name = next(filter(None, field.groups()), "")
    return f"The field '{name}' was deleted or changed meanwhile, in FiftyOne or by another job."


def _of_the_path(error):
    """A sentence where a path cannot be used, else None."""
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "A path cannot hold the character NUL. Choose another name."
    if isinstance(error, OSError) and error.errno in _PATHS:
        path = getattr(error, "filename2", None) or error.filename
        if path is None or isinstance(path, int):
            sentence = _PATHS[error.errno].format(path="a file")
            return sentence[0].upper() + sentence[1:]
        path = os.fsdecode(path)
        return _PATHS[error.errno].format(path=path if len(path) <= 200 else f"{path[:80]}…{path[-80:]}")
    return None
