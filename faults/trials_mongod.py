"""MongoDB killed (-9) while an operator works, and started again after a while."""

import time

from .checks import last_line
from .trials_kill import describe, moments

_OPERATORS = (
    "run_elfs",
    "run_elfs again",
    "compute_scores again",
    "select_coreset",
    "choose_coreset",
    "update_run",
    "delete_run",
    "next_batch",
    "send_batch",
    "take_back",
    "export csv",
    "export fiftyone",
)
_DONE = ("already exists", "no ELFS run", "has been sent")
"""In what a second try says when the first had done its work but could not say so."""

LONGEST_DOWN = 3.0
END_SECONDS = 150
"""How long an operator may take to end after MongoDB is back: FiftyOne's driver waits 30 s for a server."""


def trials(campaign):
    """As :func:`~.trials_kill.trials`."""
    for name in campaign.wanted(_OPERATORS):
        scene = campaign.scenes.scene(name)
        random = campaign.random(f"mongod {name}")
        count = max(campaign.count // (5 if name == "run_elfs" else 13), 1)
        for moment in moments(random, scene, count):
            living = moment.pop("place") % 2 == 1
            down = random.uniform(0, LONGEST_DOWN)
            how = f"{describe(moment, scene)[:40]}, down {down:.1f} s{', same process again' if living else ''}"
            yield name, how, lambda s=scene, m=moment, d=down, a=living: kill(campaign, s, m, d, a)


def kill(campaign, scene, moment, down, living):
    """Kills MongoDB at a moment of the scene's operator, starts it again, and examines what is left.

    ``living``: the operator's process, should the operator fail, at once tries again.
    """
    world, nursery = campaign.world, campaign.nursery
    world.restore(scene.before)
    world.flush()
    stop = {**moment, "signal": 9, "pid": world.mongod.pid} if "write" in moment else None
    child = nursery.start("operate", calls=scene.calls, stop=stop, again=living, **scene.setting)
    try:
        nursery.until_started(child)
        if "seconds" in moment:
            time.sleep(moment["seconds"])
        else:
            while child.status is None and not world.mongod.wait(0.02):
                nursery.poll()
        world.mongod.kill()
        time.sleep(down)
    finally:
        world.restart_mongod()
    reasons = []
    if not nursery.wait(child, END_SECONDS):
        reasons.append(f"it has not ended {END_SECONDS} s after MongoDB was back")
    elif child.signal:
        reasons.append(f"it died by signal {child.signal}")
    else:
        reasons += _said(child.result, living)
    reasons += campaign.examiner.examine(scene)
    world.recount()  # the next trials shall not suffer from this one
    return reasons


def _said(result, living):
    """Whether the user was told what had happened, and whether the second try worked."""
    if not result or "failed" in result:
        return [f"the process failed: {last_line(result and result['failed'])}"]
    first, *second = result["value"]["outcomes"][0]
    reasons = []
    if "error" in first and "MongoDB" not in last_line(first["error"]):
        reasons.append(f"the message does not speak of MongoDB: {last_line(first['error'])}")
    for outcome in second if living else ():
        if "error" in outcome and not any(text in outcome["error"] for text in _DONE):
            reasons.append(f"the second try in the same process fails: {last_line(outcome['error'])}")
    return reasons
