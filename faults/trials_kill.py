"""kill -9, SIGTERM and SIGINT at seeded moments of every operator: by the clock, and at a chosen write."""

import contextlib
import os
import signal
import time

from .scenes import OPERATORS

_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
TOO_LATE = "the operator had ended before the harm"
END_SECONDS = 120
"""How long a process may take to end after it was asked to."""


def trials(campaign):
    """Yields (operator, how, function that does it and returns reasons)."""
    for name in campaign.wanted(OPERATORS):
        scene = campaign.scenes.scene(name)
        count = max(round(OPERATORS[name] * campaign.count), 1)
        for moment in moments(campaign.random(f"kill {name}"), scene, count):
            number = _SIGNALS[moment.pop("place") % len(_SIGNALS)]
            yield (
                name,
                f"{number.name} {describe(moment, scene)}",
                lambda m=moment, n=number, s=scene: kill(campaign, s, m, n),
            )


def moments(random, scene, count):
    """``count`` moments, two of three spread over an operator's writes, the others over its time, each drawn within its
    share."""
    by_time = count // 3
    by_write = count - by_time
    found = []
    for place in range(by_write):
        half = int((place + random.random()) / by_write * 2 * len(scene.writes))
        found.append({"write": half // 2 + 1, "when": ("before", "after")[half % 2]})
    for place in range(by_time):
        found.append({"seconds": (place + random.random()) / by_time * scene.seconds})
    random.shuffle(found)
    return [{**moment, "place": place} for place, moment in enumerate(found)]


def _early(moment, scene):
    """Whether an operator that heeds a signal at that moment cannot have got to its end."""
    return moment.get("write", 0) < 0.5 * len(scene.writes) and moment.get("seconds", 0) < 0.5 * scene.seconds


def describe(moment, scene):
    if "seconds" in moment:
        return f"after {moment['seconds']:.2f} of {scene.seconds:.2f} s"
    name = scene.writes[moment["write"] - 1]
    return f"{moment['when']} write {moment['write']} of {len(scene.writes)}: {name}"[:70]


def kill(campaign, scene, moment, number):
    """Starts the scene's operator, ends it by a signal, and examines what is left."""
    campaign.world.restore(scene.before)
    stop = {**moment, "signal": int(number), "pid": None} if "write" in moment else None
    child = campaign.nursery.start("operate", calls=scene.calls, stop=stop, **scene.setting)
    campaign.nursery.until_started(child)
    if "seconds" in moment:
        time.sleep(moment["seconds"])
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(child.pid, number)
    reasons = []
    if not campaign.nursery.wait(child, END_SECONDS):
        reasons.append(f"it has not ended {END_SECONDS} s after {number.name}")
    result = child.result or {}
    if not child.signal and "value" in result:
        campaign.note = TOO_LATE
    elif number == signal.SIGINT and _early(moment, scene) and not scene.target:
        try:
            if campaign.scenes.look(scene.names)[0] == scene.new:
                reasons.append("Ctrl-C was not heard: the operator went on to its end")
        except RuntimeError:  # the examiner tells
            pass
    return reasons + campaign.examiner.examine(scene)
