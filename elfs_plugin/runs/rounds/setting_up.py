"""What all rounds of a run share, asked for with the first batch: label field, classes, names, the golden set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...errors import InvalidInput, NameTaken
from ...text import is_text
from ...validation import shown, whole_number
from .. import claims, fields, names, record
from ..fiftyone_types import Dataset
from .names import RoundNames
from .state import COVERAGE, TARGETED, Labelling, labelling_of

if TYPE_CHECKING:
    from ..record import RunRecord

DEFAULT_FIELD = "ground_truth"
GOLDEN_AT_MOST, GOLDEN_SHARE = 100, 0.05
"""The golden set that nobody has asked for: so many samples, and at most this share of the run's."""

COVERAGE_SHARE = 0.3
"""Of a batch after the first, as in step 7 of FiftyOne's Annotation Guide."""

MAX_CLASSES = 10_000


def check(
    dataset: Dataset,
    run: RunRecord,
    labels_field: str | None,
    classes: Iterable[str] | str | None,
    golden: int | None,
    called: Mapping[str, Any] | None,
) -> Labelling:
    """The :class:`~.state.Labelling` of a run: what it has, or what is asked for.

    Raises:
        InvalidInput, NameTaken: also when something else is asked for than the rounds so far have
    """
    found = labelling_of(run)
    if found is not None:
        for name, given, kept in (("labels_field", labels_field, found.labels_field), ("golden", golden, found.golden)):
            if given is not None and given != kept:
                raise InvalidInput(f"The rounds of this run have {name} {shown(kept)}; it stays until they end.", name)
        if called and asdict(RoundNames.of(called)) != asdict(found.called):
            raise InvalidInput("The names of this run's rounds are given already, and stay.", "names")
        record.check_labels_field(dataset, run.key, found.labels_field)
        found.classes = class_list([*found.classes, *class_list(classes)])
        return found
    field = labels_field or DEFAULT_FIELD
    record.check_labels_field(dataset, run.key, field)
    wanted = class_list(_there(dataset, field) if classes is None else classes)
    if len(wanted) < 2:
        raise InvalidInput("Name the classes that annotators choose from, two at least.", "classes")
    size = resolve_golden(golden, run.stages["scores"]["scored"])
    return Labelling(field, wanted, asdict(RoundNames.of(called)), size)


def _there(dataset, field):
    """The classes that a label field has already."""
    return sorted(dataset.distinct(f"{field}.label")) if dataset.has_sample_field(field) else []


def class_list(given: Iterable[str] | str | None) -> list[str]:
    """The classes of a list, or of a text with commas or line breaks between them, each once, in their order."""
    if isinstance(given, str):
        given = given.replace("\n", ",").split(",")
    found: list[str] = []
    for name in given or ():
        name = name.strip() if isinstance(name, str) else name
        if not isinstance(name, str) or not is_text(name):
            raise InvalidInput(f"A class is a text, not {shown(name)}.", "classes")
        if name and name not in found:
            found.append(name)
    if len(found) > MAX_CLASSES:
        raise InvalidInput(f"{len(found):,} classes are more than the {MAX_CLASSES:,} that are possible.", "classes")
    return found


def resolve_golden(asked: int | None, samples: int) -> int:
    """The size of the golden set of a run with so many samples."""
    if asked is None:
        return min(GOLDEN_AT_MOST, int(GOLDEN_SHARE * samples))
    count = whole_number(asked)
    if count is None or count < 0 or count > samples // 2:
        raise InvalidInput(
            f"The golden set must have 0 to {samples // 2:,} samples (half of the run), not {shown(asked)}.", "golden"
        )
    return count


def check_names(dataset: Dataset, run: RunRecord, called: RoundNames, number: int) -> None:
    """Refuses tags and saved views of a round that are somebody else's.

    Raises:
        NameTaken, InvalidInput: with how rounds get other names
    """
    numbered = called.for_round(number)
    sources = [called.for_source(source) for source in (COVERAGE, TARGETED)]
    tags = [called.waiting, called.golden, numbered["batch"], numbered["annotated"], *sources]
    views = [numbered["batch_view"], called.pool_view, called.golden]
    used = set(fields.writable(dataset).distinct("tags"))  # once: it reads every sample
    try:
        for tag in tags:
            names.check_tag(dataset, tag, run.own_tags, used=used)
        for view in views:
            names.check_view_name(dataset, view, run.own_views(dataset))
        claims.check_others(dataset, run, tags, views)
    except (InvalidInput, NameTaken) as error:
        raise type(error)(f"{error} Rounds take other names by 'names'.", "names") from None
