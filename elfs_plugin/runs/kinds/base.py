"""The contract of a kind of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...contracts import Progress
from ...nouns import KINDS, Noun
from ...progress import silent
from ...selectors.parameter import Parameter, check_all
from ..fiftyone_types import Collection, Dataset


@dataclass
class Making:
    """What a kind is given to find rows with.

    Attributes:
        parents: the samples of the source to make rows of, a collection of it
        source: their dataset, whole
        companion: the dataset of the rows; what it holds already stays
        settings: of the kind, checked
        folder: where files of the rows may be kept; it lives as long as the source or the companion does
        notes: what the summary is to tell besides, by name
        progress: told how far it is; may raise to stop it
    """

    parents: Collection
    source: Dataset
    companion: Dataset
    settings: dict[str, Any]
    folder: Path
    progress: Progress = silent
    notes: dict[str, Any] = field(default_factory=dict)
    told: tuple[float, str] = (0.0, "")

    def tell(self, fraction: float, detail: str) -> None:
        self.told = fraction, detail
        self.progress(*self.told)

    def check(self) -> None:
        """In between, where it takes long: a job that has been cancelled stops here."""
        self.progress(*self.told)


@dataclass(frozen=True)
class Found:
    """All rows of one parent now: those of the companion that are not among them have gone.

    ``rows`` are documents as MongoDB keeps samples: ``_id``, ``filepath``, and fields of the kind; the rest is filled
    in. ``reason`` says in a few words why there are none, or why not all; None: nothing is missing.
    ``replaced`` are ids of rows that stand for something else than before: their results go. ``unread``: the parent
    cannot be read now, which may pass, so all rows of it that the companion has stay as they are.
    """

    parent: str
    rows: list[dict[str, Any]]
    reason: str | None = None
    replaced: frozenset[Any] = frozenset()
    unread: bool = False


@dataclass
class Written:
    """What is to be written back of a run, or has been: as a record keeps it, see
    :attr:`~..record.RunRecord.written_back`.

    ``key`` is the run's; ``tag`` the one whose rows are the chosen ones; ``tags`` all those of the run; ``options`` of
    the kind; ``views`` name -> id of the views saved on the source (an empty id: it has not been saved yet).
    """

    key: str
    tag: str
    tags: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    views: dict[str, str] = field(default_factory=dict)


class RowKind(ABC):
    """Base class of a kind: its rows are found in a source, and results are written to where they came from.

    * ``name``: a key of :data:`~...nouns.KINDS`
    * ``parameters``: its settings, as those of a selector
    * ``options``: what the user may choose about writing back
    * ``fields``: fields of the rows besides ``parent_id``, name -> keyword arguments of FiftyOne's ``add_sample_field``
    """

    name = ""
    parameters: tuple[Parameter, ...] = ()
    options: tuple[Parameter, ...] = ()
    fields: Mapping[str, Mapping[str, Any]] = {}

    @property
    def noun(self) -> Noun:
        return KINDS[self.name].noun

    def checked(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings, defaults filled in.

        Raises:
            InvalidInput
        """
        return check_all(self.name, self.parameters, settings)

    def settled(self, source: Dataset, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The checked settings with what only the source can say of those that were left open.

        Raises:
            InvalidInput
        """
        return dict(settings)

    def checked_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What the user has chosen about writing back, defaults filled in.

        Raises:
            InvalidInput
        """
        return check_all(self.name, self.options, options)

    def suggested(self, source: Dataset) -> dict[str, list[str]]:
        """Values of the source that settings which are texts may have, name -> values."""
        return {}

    @abstractmethod
    def check_source(self, parents: Collection, settings: Mapping[str, Any]) -> None:
        """Refuses what holds no such rows, before anything is made.

        Raises:
            InvalidInput
        """

    def parents_in(self, source: Dataset) -> set[str]:
        """Ids of all parents that the source has now."""
        return {str(found["_id"]) for found in source._sample_collection.find({}, {"_id": 1})}

    @abstractmethod
    def find(self, making: Making) -> Iterator[Found]:
        """What there is now of each parent of ``making.parents``, one :class:`Found` each, in any order. It must give
        a row the same id each time, and the id that the source has for it if it has one."""

    def carry(self, making: Making) -> None:
        """Takes over to the rows what the source knows of them and they lack: labels, vectors. Nothing by default."""
        return None

    def forget(self, folder: Path, parents: Iterable[str]) -> None:
        """Removes the files of parents that are gone from ``folder``. By default there are none."""
        return None

    @abstractmethod
    def check_free(self, source: Dataset, companion: Dataset, written: Written) -> None:
        """Refuses to write back under names that are somebody else's on the source.

        Raises:
            NameTaken, InvalidInput
        """

    def view_names(self, written: Written) -> list[str]:
        """Names of the views that :meth:`write` saves on the source."""
        return []

    @abstractmethod
    def write(self, source: Dataset, companion: Dataset, written: Written) -> None:
        """Makes the source say what the companion says about a run. Fills in the ids of ``written.views``.

        It is repeated after a crash, so it must come to the same end from anywhere between.
        """

    @abstractmethod
    def remove(self, source: Dataset, companion: Dataset, written: Written, others: Iterable[Written]) -> None:
        """Removes from the source all that :meth:`write` wrote of a run, as far as it is there, and nothing else.

        Args:
            others: what other runs of the companion have written and keep
        """
