"""SOURCE of the command line: a folder of images or a FiftyOne dataset."""

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..errors import InvalidInput, MissingModel, NameTaken
from ..runs.fiftyone_types import Dataset
from ..text import is_text, printable
from .image_folder import IMAGE_SUFFIXES, find_images


@dataclass
class Source:
    """``dataset`` to work on; ``made`` whether it was made just now; ``passed_over`` reason -> number of files."""

    dataset: Dataset
    made: bool = False
    passed_over: dict[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def opened(text: str, name: str | None = None) -> Iterator[Source]:
    """The :class:`Source` that ``text`` names: the dataset of that name, or a persistent one made of (or topped up
    with) the images of a folder.

    A dataset that was made here is removed again when the block refuses to work on it before it has made anything.

    Args:
        name: the dataset to make or to top up of a folder (default: the folder's name)

    Raises:
        InvalidInput: when the source is neither, or the folder has no images
    """
    source = _open(text, name)
    try:
        yield source
    except (InvalidInput, MissingModel, NameTaken):
        if source.made and not source.dataset.deleted and not source.dataset.list_runs():
            from ..runs.folder import remove_dataset_folder

            remove_dataset_folder(source.dataset)
            source.dataset.delete()
        raise


def open_source(text: str, name: str | None = None) -> Dataset:
    """As :func:`opened`, for good: the dataset alone."""
    return _open(text, name).dataset


def _open(text, name):
    import fiftyone as fo

    if not text.strip():
        raise InvalidInput("SOURCE is empty. Name a folder of images or a FiftyOne dataset.")
    if name is not None and not name.strip():
        raise InvalidInput("--name is empty. Give the dataset a name, or leave --name out.")
    folder = os.path.expanduser(text)
    is_dataset = is_text(text) and fo.dataset_exists(text)
    if os.path.isdir(folder) and not (is_dataset and _means_dataset(text, folder)):
        return _of_folder(folder, name)
    if is_dataset:
        if name is not None:
            raise InvalidInput(f"--name is for the dataset of a folder; '{text}' is a dataset already. Leave it out.")
        return Source(_with_rows(fo.load_dataset(text)))
    what = "is a file" if os.path.isfile(folder) else "is neither a folder nor a FiftyOne dataset"
    raise InvalidInput(
        f"'{printable(text)}' {what}. Give a folder of images, or a dataset: `fiftyone datasets list` shows yours."
    )


def _with_rows(dataset):
    """The dataset itself, or the one of its frames, groups or objects."""
    from ..runs import noun_of, resolved

    found = resolved(dataset)
    if found is not dataset:
        _say(f"Taking the {noun_of(found).many} of '{dataset.name}': the dataset '{found.name}'.")
    return found


def _means_dataset(text, folder):
    """Whether a bare name that is both a dataset and a folder means the dataset: always, unless the folder is what
    the dataset was made of."""
    import fiftyone as fo

    if text in (".", "..") or text.startswith("~") or any(s in text for s in (os.sep, os.altsep) if s):
        return False
    dataset = fo.load_dataset(text)
    inside = {"filepath": {"$regex": "^" + re.escape(os.path.join(os.path.realpath(folder), ""))}}
    if not dataset.count() or dataset._sample_collection.find_one(inside, {"_id": 1}) is not None:
        return False
    _say(f"Taking the dataset '{text}'. For the folder of that name in this directory write ./{text}")
    return True


def _of_folder(folder, name):
    import fiftyone as fo

    folder = os.path.realpath(folder)
    name = os.path.basename(folder) if name is None else name
    exists = _check_name(name, folder)
    try:
        found = find_images(folder)
    except OSError as error:
        raise InvalidInput(f"The folder {printable(folder)} cannot be read ({error.strerror}).") from None
    sentences = found.sentences()
    if not found.paths:
        looked = ", ".join(sorted(IMAGE_SUFFIXES))
        told = " ".join(sentences) or f"Looked for {looked}."
        raise InvalidInput(f"There are no images in {printable(folder)} that can be read. {told}")
    for sentence in sentences:
        _say(sentence)
    dataset: Dataset = fo.load_dataset(name) if exists else None
    if dataset is not None:
        _check_dataset(dataset, found.paths)
    made = dataset is None
    dataset = fo.Dataset(name, persistent=True) if made else dataset
    try:
        add_images(dataset, found.paths)
    except BaseException:
        if made:  # a part of the images is no dataset of the folder
            dataset.delete()
        raise
    return Source(dataset, made, {reason: passed.count for reason, passed in found.passed_over.items()})


def _check_name(name, folder):
    """Whether a dataset of that name exists.

    Raises:
        InvalidInput: when FiftyOne cannot take the name, or not tell it from that of another dataset
    """
    import fiftyone.core.utils as fou
    from fiftyone.core import odm

    hint = "Give the dataset another name with --name."
    try:
        slug = fou.to_slug(name) if is_text(name) else None
    except ValueError:
        slug = None
    if slug is None:
        whose = f"The folder {printable(folder)}" if name == os.path.basename(folder) else f"'{printable(name)[:100]}'"
        raise InvalidInput(
            f"{whose} has no name that FiftyOne can take for a dataset: it needs Latin letters or digits, in at most "
            f"1,551 characters of UTF-8. {hint}"
        )
    names = [found["name"] for found in odm.get_db_conn().datasets.find({"slug": slug}, {"name": 1})]
    if not names or name in names:
        return bool(names)
    raise InvalidInput(f"FiftyOne cannot tell the name '{name}' from that of the dataset '{names[0]}'. {hint}")


def _check_dataset(dataset, paths):
    if dataset.media_type not in (None, "image"):
        raise InvalidInput(
            f"A dataset '{dataset.name}' exists and holds media of the kind '{dataset.media_type}'. Give another name "
            "with --name."
        )
    if dataset.count() and not set(dataset.values("filepath")) & set(paths):
        raise InvalidInput(f"A dataset '{dataset.name}' exists and holds other images. Give another name with --name.")


def add_images(dataset: Dataset, paths: Iterable[str]) -> None:
    """Adds those image files that the dataset does not hold yet."""
    import fiftyone as fo

    known = set(dataset.values("filepath")) if dataset.media_type else set()
    new = [path for path in paths if path not in known]
    if new:
        # A generator: FiftyOne keeps samples alive that it must then refresh after every write.
        # They are images whatever their suffix says; FiftyOne takes it from tables that differ between machines.
        samples = (fo.Sample(path, media_type="image") for path in new)
        dataset.add_samples(samples, progress=False, num_samples=len(new))


def _say(text):
    print(text, file=sys.stderr, flush=True)
