"""The errors this project raises on purpose. Their messages are written for the user: what is wrong, what to do."""

import errno


class ElfsError(Exception):
    """Something the user can mend; ``str(error)`` says how."""


class InvalidInput(ElfsError, ValueError):
    """A parameter or an input is outside what the method accepts.

    ``field`` names the parameter, so that a form can show the message beside it.
    """

    def __init__(self, message, field=None):
        super().__init__(message)
        self.field = field


class MissingModel(ElfsError):
    """A model is unknown, or its weights cannot be had."""


class NameTaken(ElfsError):
    """A field, tag, view or run of that name exists and was not written by this run."""

    def __init__(self, message, field=None):
        super().__init__(message)
        self.field = field


class Changed(NameTaken):
    """What is to be replaced is no longer what the caller has seen: somebody else saved something else meanwhile."""


class Busy(ElfsError):
    """Another job with the same run key is at work on the dataset."""


class TakenOver(ElfsError):
    """The job is no longer the owner of its run: another one took it for dead and has it now. It must write no more."""


class Cancelled(ElfsError):
    """The user cancelled the job."""

    def __init__(self, message="Cancelled. What was finished is kept; running it again resumes from there."):
        super().__init__(message)


RESUME = "Your data is unharmed; run it again and it resumes from the last finished stage."


def explain(error):
    """One or two sentences for the user about any exception: what happened and what to do next."""
    if isinstance(error, ElfsError):
        return str(error)
    kind = type(error).__name__
    module = type(error).__module__
    if isinstance(error, MemoryError) or kind == "OutOfMemoryError" or "not enough memory" in str(error):
        return f"Out of memory. Use a smaller batch, fewer heads or a smaller view. {RESUME}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"The disk is full ({error.filename or 'no file named'}). Free some space. {RESUME}"
    if module.startswith("pymongo") and kind in (
        "ServerSelectionTimeoutError",
        "AutoReconnect",
        "ConnectionFailure",
        "NetworkTimeout",
        "NotPrimaryError",
    ):
        return f"The connection to MongoDB was lost. Check that the database is running. {RESUME}"
    if module.startswith("pymongo") and ("No space" in str(error) or "OutOfDiskSpace" in str(error)):
        return f"MongoDB's disk is full. Free some space. {RESUME}"
    return f"{kind}: {error}"
