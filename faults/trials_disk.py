"""File systems (tmpfs) that are too small: for the run's folder, the temporary folder, and the target of an export."""

import re

from . import contents
from .campaign import NotPossible
from .checks import last_line, left_over

_PAGE = 4096
_FULL = re.compile(r"full|space", re.IGNORECASE)
END_SECONDS = 240

_PLACES = {
    **dict.fromkeys(("run_elfs", "run_elfs again", "compute_scores again", "update_run"), "home"),
    "compute_scores on images": "tmp",
    **dict.fromkeys(("export csv", "export images", "export fiftyone", "export images over"), "out"),
}
"""Scene -> the place that is too small."""


def trials(campaign):
    """As :func:`~.trials_kill.trials`."""
    share = max(campaign.count // 13, 1)
    for name in campaign.wanted(_PLACES):
        yield from _sized(campaign, name, _PLACES[name], 2 * share if name == "run_elfs" else share)


def _sized(campaign, name, place, count):
    scene = campaign.scenes.scene(name)
    random = campaign.random(f"disk {name}")
    before, after = (contents.files_below(state, place) for state in (scene.before, scene.after))
    # The images take 900 KB of a temporary folder while the operator works, and nothing afterwards.
    new = 900 if place == "tmp" else _kilobytes(path for path in after.items() if path not in before.items())
    for number in range(count):
        # What is replaced is there twice for a while, so a little more than what is new may be too small as well.
        room = 4 + 1.2 * new * (number + random.random()) / count
        size = _kilobytes(before.items()) + room
        how = f"{place} with {room:,.0f} KB free, for {new:,}"
        yield name, how, lambda s=scene, k=size: fill(campaign, s, place, k)


def fill(campaign, scene, place, kilobytes):
    """Runs the scene's operator where a file system is too small, examines, makes room, and examines again."""
    world, nursery = campaign.world, campaign.nursery
    world.empty(place)
    if not world.mount(place, kilobytes):
        raise NotPossible("A small file system cannot be mounted here: it takes the rights to mount.")
    try:
        world.restore(scene.before)
        child = nursery.start("operate", calls=scene.calls, **scene.setting)
        reasons = [] if nursery.wait(child, END_SECONDS) else [f"it has not ended after {END_SECONDS} s"]
        if child.signal:
            reasons.append(f"it died by signal {child.signal} without a word")
        elif not child.result or "failed" in child.result:
            reasons.append(f"the process failed: {last_line(child.result and child.result['failed'])}")
        else:
            outcome = child.result["value"]["outcomes"][0][0]
            campaign.note = "" if "error" in outcome else "the operator got along with the space"
            if "error" in outcome and not _FULL.search(last_line(outcome["error"])):
                reasons.append(f"the message does not speak of a full disk: {last_line(outcome['error'])}")
            if "error" in outcome and scene.target:
                reasons += left_over(scene, world.read())
        answer = campaign.examiner.ask(scene.names.key)
        if "failed" in answer:
            reasons.append(f"check_run fails on a full disk: {answer['failed']}")
        world.enlarge(place)
        return reasons + campaign.examiner.examine(scene)
    finally:
        world.empty(place)
        world.unmount(place)


def _kilobytes(files):
    """What (path, content) take on a tmpfs: whole pages for files, nothing for folders and links."""
    pages = sum(-(-len(content) // _PAGE) for _, content in files if isinstance(content, bytes))
    return pages * _PAGE // 1024
