"""Views of a run: intervals of its ranks. Never lists of ids, so they are small at any N and can be saved.

Two indexes serve them: ``<key>.rank``, and (``<key>.pseudo_label.label``, ``<key>.rank``) when clusters are named.
"""

from ..errors import InvalidInput
from ..validation import shown, whole_number
from . import fields

ZONES = ("hard", "coreset", "easy")

ORDERS = (None, "hardest", "easiest")


def rank_view(run, low, high, *, order=None, clusters=None):
    """The samples of a :class:`~.run.Run` with low <= rank < high.

    Args:
        order: ``"hardest"`` or ``"easiest"`` first; None: in the dataset's order
        clusters: names of pseudo-labels to keep, None: all
    """
    return _view(run, [(low, high)], order, clusters)


def zone_view(run, zone, *, order=None, clusters=None):
    """The view of a zone (``"hard"``, ``"coreset"``, ``"easy"``) of an applied selection; see :func:`rank_view`."""
    run.require("selection", "showing a zone")
    if zone not in ZONES:
        raise InvalidInput(f"Unknown zone {zone!r}. Use one of: {', '.join(ZONES)}.", "zone")
    selection = run.stages["selection"]
    m, b = selection["hard"], selection["coreset"]
    low, high = {"hard": (0, m), "coreset": (m, m + b), "easy": (m + b, m + b + selection["easy"])}[zone]
    return rank_view(run, low, high, order=order, clusters=clusters)


def borderline_view(run, hard, budget, width, *, clusters=None):
    """The ``width`` images on each side of each cut, hardest first; a cut at an end of the ranks has no sides.

    Args:
        hard: m, the images dropped as too hard
        budget: b, the images kept after them

    Raises:
        InvalidInput: for a width below 1, or a run without scores
    """
    if (whole_number(width) or 0) < 1:
        raise InvalidInput(f"The width must be a whole number from 1, not {shown(width)}.", "width")
    n = run.require("scores", "showing its borderline images").stages["scores"]["scored"]
    cuts = [cut for cut in (int(hard), int(hard) + int(budget)) if 0 < cut < n]
    # Without a cut nothing is borderline: an interval that holds no rank.
    intervals = [(max(cut - int(width), 0), min(cut + int(width), n)) for cut in cuts] or [(0, 0)]
    return _view(run, intervals, "hardest", clusters)


def _view(run, intervals, order, clusters):
    if order not in ORDERS:
        raise InvalidInput(f"Unknown order {order!r}. Use 'hardest', 'easiest' or None.", "order")
    path = f"{run.key}.rank"
    ranges = [{path: {"$gte": int(low), "$lt": int(high)}} for low, high in intervals]
    wanted = ranges[0] if len(ranges) == 1 else {"$or": ranges}
    if clusters is not None:
        wanted = {**wanted, f"{run.key}.pseudo_label.label": {"$in": [str(name) for name in clusters]}}
    view = fields.writable(run.dataset).match(wanted)
    if order is None:
        return view
    return view.sort_by(path, reverse=order == "easiest", create_index=False)
