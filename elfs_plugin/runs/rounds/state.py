"""What a run's record holds of its rounds, as plain values that MongoDB keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ...errors import InvalidInput
from .names import RoundNames

if TYPE_CHECKING:
    from ..record import RunRecord

IN_APP = "in_app"
"""The back end that is FiftyOne's own annotation: what waits is labelled beside the panel."""

SELECTED, SENT, ANNOTATED, SKIPPED = "selected", "sent", "annotated", "skipped"
"""Values of ``<key>.status``, and with :data:`RETURNED` and :data:`ACCEPTED` the states of a round."""
RETURNED, ACCEPTED = "returned", "accepted"
"""Some labels are back; all that will come are."""

COVERAGE, TARGETED, GOLDEN = "coverage", "targeted", "golden"
"""Values of ``<key>.source``."""


@dataclass
class Labelling:
    """What all rounds share: the ``labels_field``, the ``classes`` that annotators choose from, the ``names``
    (:class:`~.names.RoundNames` as a mapping), how many samples the ``golden`` set has.
    """

    labels_field: str
    classes: list[str]
    names: dict[str, str] = field(default_factory=dict)
    golden: int = 0

    @property
    def called(self) -> RoundNames:
        return RoundNames.of(self.names)


@dataclass
class SentPart:
    """One request to a labelling tool.

    Attributes:
        key: its name there, and of FiftyOne's annotation run where there is one
        samples: how many
        annotator: whom it is for, or None
        state: ``"planned"``, ``"sent"`` or ``"returned"``
        receipt: what the back end needs to find it again, plain values
    """

    key: str
    samples: int
    annotator: str | None = None
    state: str = "planned"
    receipt: dict[str, Any] = field(default_factory=dict)


@dataclass
class Round:
    """A round. ``chosen`` counts its samples without the golden set's, by ``sources``; ``when`` maps a state to seconds
    since 1970; ``sent`` says where to: ``{"to", "options", "prelabels", "control"}`` and ``parts``; ``returned`` is
    what the last take-back counted, ``measured`` what the golden set said."""

    number: int
    state: str = SELECTED
    method: str = ""
    chosen: int = 0
    sources: dict[str, int] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    when: dict[str, float] = field(default_factory=dict)
    sent: dict[str, Any] = field(default_factory=dict)
    parts: list[SentPart] = field(default_factory=list)
    returned: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.state != ACCEPTED

    def check_unsent(self, to: str | None = None) -> None:
        """Refuses a round that has ended or been sent, or in part to another tool than ``to`` (None: any).

        Raises:
            InvalidInput
        """
        if not self.is_open:
            raise InvalidInput(f"Round {self.number} has ended. Choose the next batch.", "round")
        sent = self.sent.get("to")
        unfinished = [part for part in self.parts if part.state == "planned"]
        if sent is None or (unfinished and to in (sent, None)):
            return
        if unfinished:
            raise InvalidInput(f"Round {self.number} has been sent to {sent} in part; send the rest there.", "to")
        raise InvalidInput(
            f"Round {self.number} has been sent to {sent} already. Take it back, or choose the next batch.", "round"
        )

    def check_sent(self) -> None:
        """Refuses a round that has not been sent.

        Raises:
            InvalidInput
        """
        if not self.sent:
            raise InvalidInput(
                f"Round {self.number} has not been sent to be labelled yet. Use send_batch first.", "round"
            )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Round:
        """The round that :func:`keep` made plain values of; what a newer version adds is passed over."""
        known = {f.name for f in fields(cls)}
        found = cls(**{name: value for name, value in values.items() if name in known})
        own = {f.name for f in fields(SentPart)}
        found.parts = [SentPart(**{n: v for n, v in part.items() if n in own}) for part in values.get("parts", ())]
        return found


def labelling_of(record: RunRecord | None) -> Labelling | None:
    """What the rounds of a run share, or None before the first."""
    values = None if record is None else record.labelling
    known = {f.name for f in fields(Labelling)}
    return Labelling(**{name: value for name, value in values.items() if name in known}) if values else None


def rounds_of(record: RunRecord | None) -> list[Round]:
    return [] if record is None else [Round.of(values) for values in record.rounds]


def round_of(record: RunRecord, number: int | None = None) -> Round:
    """The round with a number, or the last one.

    Raises:
        InvalidInput: when there is none
    """
    found = rounds_of(record)
    if not found:
        raise InvalidInput(f"The run '{record.key}' has no rounds yet. Use next_batch first.", "round")
    if number is None:
        return found[-1]
    for one in found:
        if one.number == number:
            return one
    raise InvalidInput(f"The run '{record.key}' has no round {number} (rounds: 0 to {found[-1].number}).", "round")


def keep(record: RunRecord, one: Round) -> None:
    """Puts a round into the record, in the place of the one with its number."""
    others = [values for values in record.rounds if values.get("number") != one.number]
    record.rounds = sorted([*others, asdict(one)], key=lambda values: values["number"])
