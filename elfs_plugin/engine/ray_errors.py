"""What Ray raises, as sentences."""

from __future__ import annotations

from ..errors import EngineFailed
from ..text import first_line


def explained(error: BaseException) -> EngineFailed:
    """An :class:`~..errors.EngineFailed` that says what happened and what to do, for any error of Ray."""
    from ray import exceptions

    kinds: list[tuple[type[BaseException], str]] = [
        (
            exceptions.OutOfDiskError,
            "The disk of a Ray node is full. Free some space in its temporary folder, or start Ray with another one.",
        ),
        (
            exceptions.ObjectStoreFullError,
            "Ray's object store is full. Give it more memory (ELFS_RAY_STORE_MB for a cluster that is started here, "
            "--object-store-memory for another one), or use fewer workers.",
        ),
        (
            exceptions.OutOfMemoryError,
            "A Ray node has run out of memory and ended a worker. Use fewer workers on it (ELFS_RAY_CPUS), or a "
            "smaller model.",
        ),
        (
            exceptions.NodeDiedError,
            "A node of the Ray cluster is gone, and the others could not do its work. Check the cluster and run it "
            "again.",
        ),
        (
            exceptions.WorkerCrashedError,
            "A Ray worker has died again and again on the same piece of work, for lack of memory, say. Its log is in "
            "Ray's folder of logs.",
        ),
        (
            exceptions.RayActorError,
            "A Ray worker has died and could not be started again. Its log is in Ray's folder of logs.",
        ),
        (
            exceptions.RuntimeEnvSetupError,
            "A Ray worker could not be set up. Its log is in Ray's folder of logs.",
        ),
        (
            exceptions.LocalRayletDiedError,
            "Ray has ended on this machine. Start it again.",
        ),
    ]
    cause = getattr(error, "cause", None)
    if isinstance(cause, ImportError):
        return EngineFailed(
            f"A Ray worker lacks a package ({first_line(cause)}). Install the plugin's requirements on all nodes: "
            "pip install -r requirements.txt"
        )
    for kind, sentence in kinds:
        if isinstance(error, kind):
            return EngineFailed(f"{sentence} What was finished is kept.")
    return EngineFailed(f"Ray failed ({type(error).__name__}: {first_line(error)}). What was finished is kept.")
