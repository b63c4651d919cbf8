"""Values of the command line's arguments, refused before anything is computed."""

import argparse
import contextlib
import os
import stat

from ..contracts import Budget
from ..encoders.known import AUTO
from ..errors import ElfsError, InvalidInput, MissingModel
from ..files import check_writable, whole_file
from ..text import first_line, printable

MAX_SEED = 2**32 - 1

SOURCES = ("encoder", "embeddings", "similarity_index")
"""The options that say where the vectors come from, of which one is given."""


def budget(text: str) -> Budget:
    """A count, a fraction with a point, or percent up to 100."""
    message = f"'{text}' is not a number; use a fraction in (0, 1], percent up to 100% or a count"
    text = text.strip()
    with contextlib.suppress(ValueError):
        return int(text)
    try:
        value = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(message) from None
    if text.endswith("%") and not 0 < value <= 1:  # 200% is not the count 2
        raise argparse.ArgumentTypeError(f"'{text}' is no budget; use percent above 0% and up to 100%")
    return value


def clusters(text: str) -> int | str:
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither 'auto' nor a whole number") from None


def beta(text: str) -> float | str:
    if text == "auto":
        return text
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither 'auto' nor a number, as 0.3 or 30%") from None


def seed(text: str) -> int:
    return _whole(text, 0, MAX_SEED)


def port(text: str) -> int:
    return _whole(text, 1, 65535)


def seeds(text: str) -> int:
    return _whole(text, 1, 1000)


def _whole(text, low, high):
    with contextlib.suppress(ValueError):
        if low <= int(text) <= high:
            return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {low:,} to {high:,}")


def check_vectors(options: argparse.Namespace) -> None:
    """Where the vectors come from: refuses what contradicts itself, and models and files that do not exist.

    Raises:
        InvalidInput
    """
    for name in ("encoder", "embeddings", "similarity_index", "weights"):
        value = getattr(options, name)
        if value is not None and not value.strip():
            raise InvalidInput(f"--{_option(name)} is empty. Give it a value, or leave it out.")
    given = [f"--{_option(name)}" for name in SOURCES if getattr(options, name) is not None]
    if len(given) > 1:
        raise InvalidInput(f"Give {' or '.join(given)}, not both.")
    if options.weights is not None:
        if not (options.encoder or "").startswith(("timm:", "open_clip:")):
            raise InvalidInput("--weights goes with --encoder timm:<model> or open_clip:<model>/<tag>.")
        try:
            place = os.path.expanduser(options.weights)
            if stat.S_ISFIFO(os.stat(place).st_mode):  # opening it would wait for somebody to write to it
                raise OSError(None, "it is a pipe, not a file")
            with open(place, "rb"):
                pass
        except OSError as error:
            raise InvalidInput(
                f"The weights file {printable(options.weights)} cannot be read ({error.strerror})."
            ) from None
    if options.encoder is not None:
        _check_encoder(options.encoder, options.weights)


def _option(name):
    return name.replace("_", "-")


def encoder_of(options: argparse.Namespace) -> str | None:
    """The encoder, or None where vectors are given."""
    return None if options.embeddings or options.similarity_index else options.encoder or AUTO


def _check_encoder(name, weights):
    from ..encoders.embed import check_encoder
    from ..runs.samples import ZOO_PREFIX

    try:
        if not name.startswith(ZOO_PREFIX):
            check_encoder(name, weights=weights)
            return
    except MissingModel as error:  # a wrong argument, not a model that fails
        raise InvalidInput(str(error)) from None
    import fiftyone.zoo as foz

    if name[len(ZOO_PREFIX) :] not in foz.list_zoo_models():
        raise InvalidInput(f"FiftyOne's model zoo has no model '{name}'. `fiftyone zoo models list` shows them.")


def method_of(options: argparse.Namespace) -> str:
    """What chooses in the end; refuses names that there are not, and a learner that nothing looks at.

    Raises:
        InvalidInput
    """
    from ..selectors.recommend import AUTO, check_learner, check_method

    method = options.method or (AUTO if options.beta == "auto" else "elfs")
    check_method(method)
    if options.learner is not None:
        check_learner(options.learner)
        if method != AUTO:
            raise InvalidInput("--learner is what --method auto looks at. Leave one out.")
    return method


def check_device(name: str) -> None:
    """Refuses a device that cannot compute.

    Raises:
        InvalidInput
    """
    import torch

    from ..devices import resolve_device

    device = resolve_device(name)
    try:
        torch.ones(1, device=device).sum().item()
    except RuntimeError as error:
        raise InvalidInput(f"The device '{name}' cannot be used ({first_line(error)}). Use auto or cpu.") from None


class OutputFile:
    """A text file to be written at the end, which is checked at the beginning.

    A file that exists is replaced only when it is a table of the same command: its first line begins with ``header``.

    Raises:
        InvalidInput: when the file cannot be written, or is somebody else's
    """

    def __init__(self, path: str, header: str) -> None:
        self._path = os.path.realpath(os.path.expanduser(path))
        self._name = printable(path)
        if not path.strip():
            raise InvalidInput("The name of the file to write is empty. Give one, or leave the option out.")
        try:
            mode = self._mode()
            self._special = mode is not None and not stat.S_ISREG(mode)
            if mode is not None and stat.S_ISDIR(mode):
                raise InvalidInput(f"{self._name} is a folder. Give the name of a file.")
            if not self._special:
                check_writable(os.path.dirname(self._path))
            if mode is not None and not self._special:
                with open(self._path, "rb") as file:
                    start = file.read(len(header))
                if start and start != header.encode():
                    raise InvalidInput(f"{self._name} exists and is no table of this command. Give another name.")
        except OSError as error:
            raise InvalidInput(f"{self._name} cannot be written ({error.strerror}). Give another place.") from None

    def _mode(self):
        try:
            return os.stat(self._path).st_mode
        except FileNotFoundError:
            return None

    def write(self, text: str) -> None:
        """Writes the file whole, or not at all.

        Raises:
            ElfsError: when the disk refuses
        """
        try:
            if self._special:  # a device or a pipe, as /dev/stdout
                with open(self._path, "wb") as file:
                    file.write(text.encode())
                return
            with whole_file(self._path) as file:
                file.write(text.encode())
        except OSError as error:
            raise ElfsError(f"{self._name} could not be written ({error.strerror}). The rest is done.") from None
