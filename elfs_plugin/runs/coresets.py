"""The coresets that a comparison names: an applied run, a tag, a saved view, or settings of a run.

As text: ``run:elfs``, ``tag:first``, ``view:mine``, ``elfs@beta=0.2,budget=100`` (a budget with a point or below 1 is a
fraction, ``10%`` as well). As a dict: ``{"run": "elfs"}``, ``{"tag": "first"}``, ``{"view": "mine"}``,
``{"run": "elfs", "beta": 0.2, "budget": 100}``; ``"name"`` gives it a name of its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pymongo.errors import ConnectionFailure

from ..errors import InvalidInput
from ..evaluation.limits import check_number
from ..pruning.zones import as_beta, as_budget, resolve_beta, resolve_budget
from ..validation import shown
from . import fields, reading, record
from .fiftyone_types import Dataset, View
from .run import Run
from .views import rank_view, zone_view

KINDS = ("run", "tag", "view")
FORMS = "run:<key>, tag:<name>, view:<name> or <key>@beta=<β>,budget=<images or fraction>"


@dataclass(frozen=True)
class Member:
    """``kind`` is ``"run"``, ``"tag"``, ``"view"`` or ``"settings"``; ``value`` the run key or the name."""

    kind: str
    value: str
    beta: float | None = None
    budget: float | int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", str(self))

    def __str__(self) -> str:
        if self.kind != "settings":
            return f"{self.kind}:{self.value}"
        return f"{self.value}@beta={self.beta or 0!r},budget={self.budget!r}"


MemberLike: TypeAlias = Member | str | Mapping[str, Any]
"""A member, or what :func:`parse_member` makes one of."""


def parse_member(given: MemberLike) -> Member:
    """A :class:`Member` of its text or dict, see the module.

    Raises:
        InvalidInput: with the forms that are understood
    """
    if isinstance(given, Member):
        return given
    if isinstance(given, dict):
        return _from_dict(given)
    if not isinstance(given, str):
        raise _not_understood(given)
    kind, colon, value = given.strip().partition(":")
    if colon and kind in KINDS and value:
        return Member(kind, value)
    key, at, settings = given.strip().partition("@")
    pairs = dict(pair.strip().partition("=")[::2] for pair in settings.split(",") if pair.strip())
    if not at or not key or set(pairs) != {"beta", "budget"}:
        raise _not_understood(given)
    return Member("settings", key, **_settings(given, **pairs))


def parse_members(given: str | Iterable[Any]) -> list[Member]:
    """Distinct members of a list, or of a text with one per line or ``;``."""
    if given is not None and not isinstance(given, (str, list, tuple)):
        raise _not_understood(given)
    if isinstance(given, str):
        given = [text for line in given.splitlines() for text in line.split(";") if text.strip()]
    found = [parse_member(item) for item in given or []]
    names = [member.name for member in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InvalidInput(f"The coreset '{twice[0]}' is named twice. Name each once.", "members")
    return found


def _from_dict(given):
    kinds = [kind for kind in KINDS if given.get(kind)]
    settings = {name: given[name] for name in ("beta", "budget") if given.get(name) is not None}
    known = set(given) <= {*KINDS, "beta", "budget", "name"}
    if len(kinds) != 1 or not known or len(settings) == 1 or (settings and kinds != ["run"]):
        raise _not_understood(given)
    kind = "settings" if settings else kinds[0]
    return Member(kind, str(given[kinds[0]]), **_settings(given, **settings), name=str(given.get("name") or ""))


def _settings(given, beta=None, budget=None):
    if beta is None:
        return {}
    try:
        return {"beta": as_beta(beta), "budget": as_budget(budget)}
    except InvalidInput:
        raise _not_understood(given) from None


def _not_understood(given):
    return InvalidInput(f"{shown(given)} names no coreset. Write {FORMS}.", "members")


def member_choices(dataset: Dataset) -> list[str]:
    """What there is to compare on a dataset, as texts: applied runs, tags, saved views."""
    applied = [key for key in record.list_runs(dataset) if "selection" in Run(dataset, key).stages]
    tags = fields.writable(dataset).distinct("tags")
    return (
        [f"run:{k}" for k in applied] + [f"tag:{t}" for t in tags] + [f"view:{v}" for v in dataset.list_saved_views()]
    )


def member_view(dataset: Dataset, member: Member) -> View:
    """The view of a member's samples, as they are now.

    Raises:
        InvalidInput: for a run, tag or saved view that is not there (any more), or settings out of range
    """
    if member.kind == "tag":
        _check_tag(dataset, member.value)
        return fields.writable(dataset).match_tags(member.value)
    if member.kind == "view":
        return _saved_view(dataset, member.value)
    try:
        if member.kind == "run":
            return zone_view(Run(dataset, member.value), "coreset")
        low, high, _ = _interval(dataset, member)
    except InvalidInput as error:
        raise InvalidInput(f"{member.name}: {error}", "members") from None
    return rank_view(Run(dataset, member.value), low, high)


def check_members(dataset: Dataset, given: str | Iterable[Any]) -> None:
    """Raises :class:`InvalidInput` unless two to ten members are named that exist; lists no samples."""
    members = parse_members(given)
    check_number(len(members))
    for member in members:
        member_view(dataset, member)


def expected_size(dataset: Dataset, member: Member) -> int | None:
    """How many samples a run or its settings chose when they were ranked; None for tags and views."""
    if member.kind == "run":
        return Run(dataset, member.value).stages.get("selection", {}).get("coreset")
    return _interval(dataset, member)[2] if member.kind == "settings" else None


def _interval(dataset, member):
    run = Run(dataset, member.value).require("scores", "a comparison")
    n = run.stages["scores"]["scored"]
    budget = resolve_budget(member.budget, n)
    hard = resolve_beta(member.beta, budget, n)
    return hard, hard + budget, budget


def _check_tag(dataset, tag):
    have = fields.writable(dataset).distinct("tags")
    if tag not in have:
        listed = ", ".join(have[:10]) or "none"
        raise InvalidInput(f"No sample has the tag '{tag}' (tags: {listed}). Save the coreset again.", "members")


def _saved_view(dataset, name):
    if not dataset.has_saved_view(name):
        have = ", ".join(dataset.list_saved_views()[:10]) or "none"
        raise InvalidInput(f"There is no saved view '{name}' (saved views: {have}).", "members")
    try:
        view = dataset.load_saved_view(name)
        view.limit(1).values("id")
    except ConnectionFailure:  # the database is away, the view is not to blame
        raise
    except Exception as error:  # stages on fields that are gone raise many kinds
        raise InvalidInput(
            f"The saved view '{name}' can no longer be loaded ({error}). Save it anew.", "members"
        ) from None
    if getattr(view, "_is_generated", False):
        raise InvalidInput(f"The saved view '{name}' holds labels, clips or frames, not images.", "members")
    return view


def member_ids(dataset: Dataset, member: MemberLike) -> list[str]:
    """Distinct sample ids of a member."""
    return list(dict.fromkeys(member_view(dataset, parse_member(member)).values("id")))


def difference_view(dataset: Dataset, one: MemberLike, other: MemberLike) -> View:
    """The samples that are in ``one`` and not in ``other``, as a view that says how, not which, where it can.

    Tags, runs and settings are excluded by a match, small at any size and true as long as the tags and ranks are. For a
    saved view on the other side the ids have to be listed: its own or what remains, whichever are fewer.
    """
    dataset = dataset._dataset
    one, other = parse_member(one), parse_member(other)
    view, without = member_view(dataset, one), member_view(dataset, other)
    if other.kind == "tag":
        return view.match_tags(other.value, bool=False)
    if other.kind == "view":
        excluded = set(without.values("id"))
        inside = view.values("id")
        left = [i for i in inside if i not in excluded]
        if min(len(left), len(inside) - len(left)) > reading.MOST_LISTED:
            raise InvalidInput(
                f"{len(left):,} images are in '{one.name}' and not in '{other.name}': more than a view can list "
                f"({reading.MOST_LISTED:,}). Tag the images of '{other.name}', and compare with that tag.",
                "members",
            )
        return view.select(left) if len(left) < len(inside) - len(left) else view.exclude(list(excluded & set(inside)))
    if other.kind == "run":
        selection = Run(dataset, other.value).stages["selection"]
        low, high = selection["hard"], selection["hard"] + selection["coreset"]
    else:
        low, high, _ = _interval(dataset, other)
    path = f"{other.value}.rank"
    # Samples without a rank are not in the other one either.
    return view.match({"$nor": [{path: {"$gte": int(low), "$lt": int(high)}}]})


def difference_ids(dataset: Dataset, one: MemberLike, other: MemberLike) -> list[str]:
    """Ids of the samples in ``one`` and not in ``other``."""
    excluded = set(member_ids(dataset._dataset, other))
    return [i for i in member_ids(dataset._dataset, one) if i not in excluded]
