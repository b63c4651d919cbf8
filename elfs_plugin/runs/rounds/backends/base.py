"""What a labelling tool is to the rounds: takes samples in order, tells how far they are, gives labels back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ....contracts import Progress
from ...fiftyone_types import Dataset
from ..state import SentPart


@dataclass(frozen=True)
class Option:
    """One setting of a back end, as a form and the command line ask for it. ``kind``: str, int or bool; a ``secret`` is
    never kept in the record."""

    name: str
    label: str
    kind: type = str
    default: Any = None
    description: str = ""
    secret: bool = False
    required: bool = False


@dataclass(frozen=True)
class Sending:
    """A part to be sent.

    Attributes:
        dataset: whose samples they are, an object that only the job uses
        ids: sample ids in the order of labelling
        part: the :class:`~..state.SentPart`; its ``key`` names the request in the tool
        labels_field: the field of the dataset that will hold the labels in the end; back ends write nothing into it
        classes: what annotators choose from
        prelabels: {sample id: class} to be shown as suggestions, or None
        options: values of the back end's :attr:`Backend.options`, secrets among them
    """

    dataset: Dataset
    ids: Sequence[str]
    part: SentPart
    labels_field: str
    classes: Sequence[str]
    prelabels: Mapping[str, str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Returned:
    """What came back of a part. Only what an annotator has submitted or completed counts as a label: a suggestion that
    nobody has looked at never does.

    Attributes:
        labels: {sample id: class}, whatever the class is: whether it is known is for the caller to say
        skipped: ids of samples that the annotator has refused
        strangers: how many labels were of no sample of the part
        doubled: {sample id: classes} where one annotator gave several that differ; such a sample is in no other member
        by: {sample id: who labelled it} where the tool knows, in the place of the part's annotator
    """

    labels: dict[str, str] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    strangers: int = 0
    doubled: dict[str, list[str]] = field(default_factory=dict)
    by: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """How far a part is: ``done`` of ``total``, where ``who`` says whose or which job it is."""

    who: str
    done: int
    total: int
    url: str | None = None


class Backend:
    """A labelling tool. Subclasses set the class attributes and implement the methods; one instance serves one job."""

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    listed: ClassVar[int] = 100
    options: ClassVar[Sequence[Option]] = ()
    chunk: ClassVar[int | None] = None
    """Samples that one request may have at most."""
    people: ClassVar[bool] = False
    """Whether parts can be for different annotators."""

    def check(self, dataset: Dataset, options: Mapping[str, Any]) -> None:
        """Looks whether the tool can be reached and takes these options.

        Raises:
            InvalidInput: with the ``field`` of the option that is wrong, and what to do
        """

    def send(self, sending: Sending, progress: Progress) -> dict[str, Any]:
        """Sends a part and returns its receipt: plain values without secrets, by which it is found again.

        What an earlier, interrupted attempt under the same ``part.key`` has left in the tool is finished or replaced,
        so that no sample is there twice.

        Raises:
            ElfsError, InvalidInput: with a sentence for the user; what was sent so far may be sent again
        """
        raise NotImplementedError

    def take(self, dataset: Dataset, part: SentPart, ids: Sequence[str], options: Mapping[str, Any]) -> Returned:
        """What has been labelled of a part that was sent with these ids, so far. It changes nothing in the tool and
        nothing in the dataset's fields; it can be asked again."""
        raise NotImplementedError

    def standing(
        self, dataset: Dataset, part: SentPart, ids: Sequence[str], options: Mapping[str, Any]
    ) -> list[Standing]:
        """How far a part is."""
        raise NotImplementedError
