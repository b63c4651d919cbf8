"""The pre-cut of a large pool."""

from ..elfs_plugin.precut.size import ABOVE, KEPT
from .inputs import check, pick

FIELDS = ("precut", "kept_tag")


def precut_inputs(ctx, inputs, n):
    """How many of n images go on, and which do in any case: where so many are asked about, or something is given."""
    from ..elfs_plugin.runs import check_locked_tag

    if n <= ABOVE and not set(FIELDS) & set(ctx.params):
        return
    inputs.str(
        "precut",
        default="auto",
        required=False,
        label="Pre-cut",
        description=f"How many images, spread evenly, go on to the clustering: a number, off, or auto ({KEPT:,} of "
        f"more than {ABOVE:,}). The others get no score and cannot be chosen",
    )
    prop = inputs.str(
        "kept_tag",
        required=False,
        label="Tag of images that go on in any case",
        description="Those that are labelled already, for example",
    )
    if ctx.params.get("kept_tag"):
        check(prop, check_locked_tag, ctx.dataset, ctx.params["kept_tag"], "kept_tag")


def precut_of(params):
    """The pre-cut options of the parameters."""
    given = pick(params, *FIELDS)
    if given.get("precut", "").isdecimal():
        given["precut"] = int(given["precut"])
    return given
