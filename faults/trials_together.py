"""Two jobs at once on one dataset: in two processes or in two threads of one, with two run keys or the same."""

from dataclasses import replace

from . import contents
from .checks import last_line
from .scenes import FIRST, Names

END_SECONDS = 300
_OTHER = Names("other", ("other_embeddings",), ("other",), ("Other",))
_SECOND = {**FIRST, "key": "other", "tag": "other", "view_name": "Other"}


def trials(campaign):
    """As :func:`~.trials_kill.trials`."""
    share = max(campaign.count // 8, 1)
    for threads in (False, True):
        where = "two threads" if threads else "two processes"
        for name in campaign.wanted(("run_elfs", "run_elfs again", "select_coreset", "update_run", "delete_run")):
            scene = campaign.scenes.scene(name)
            random = campaign.random(f"together {where} {name}")
            for _ in range(share if name == "run_elfs" else max(share // 2, 1)):
                wait = 0.5 * random.random() ** 2 * scene.seconds  # mostly close: both write the same at once
                # A short operator meets the other somewhere in its work, the other way round it would be over.
                first = 0.0 if scene.seconds > 1 else random.uniform(0, campaign.scenes.scene("run_elfs").seconds)
                wait = wait if scene.seconds > 1 else 0.0
                how = f"{where}, with run_elfs on another key, {first:.2f} and {wait:.2f} s"
                yield name, how, lambda s=scene, t=threads, w=(first, wait): two_keys(campaign, s, t, w)
        for name in campaign.wanted(("run_elfs", "select_coreset")):
            scene = campaign.scenes.scene(name)
            random = campaign.random(f"together {where} {name} same")
            for _ in range(max(share // 2, 1)):
                wait = random.uniform(0, 0.5 * scene.seconds)
                how = f"{where}, the same key twice, {wait:.2f} s apart"
                yield name, how, lambda s=scene, t=threads, w=wait: same_key(campaign, s, t, w)


def two_keys(campaign, scene, threads, waits):
    """The scene's operator, and a first ``run_elfs`` under another key."""
    calls = [{**scene.calls[0], "wait": waits[0]}, {"operator": "run_elfs", "params": _SECOND, "wait": waits[1]}]
    reasons, outcomes = _at_once(campaign, scene, threads, calls)
    for name, outcome in zip((scene.name, "run_elfs on another key"), outcomes):
        if "error" in outcome:
            reasons.append(f"{name} fails: {last_line(outcome['error'])}")
    if reasons:
        return reasons
    state = campaign.world.read()
    # The other run takes part of the samples as they are, so only a dataset like the first scene's tells its result.
    told = scene.name not in ("update_run",)
    reasons += _compare(campaign, state, scene.names, scene.new, "the first", scene.known_after)
    reasons += _compare(
        campaign, state, _OTHER, _as_other(campaign.scenes.scene("run_elfs").new) if told else None, "the other"
    )
    user = contents.users_own(scene.before, [scene.names, _OTHER])
    found = contents.users_own(state, [scene.names, _OTHER])
    reasons += [f"the user's own: {text}" for text in contents.differences(user, found)]
    keys = [_OTHER.key] if scene.operator == "delete_run" else [_OTHER.key, scene.names.key]
    for key in keys:
        outcome = campaign.examiner.call("delete_run", {"key": key})
        if "error" in outcome:
            reasons.append(f"delete_run of '{key}' fails: {last_line(outcome['error'])}")
    wrong = contents.differences(scene.clean, contents.everything(campaign.world.read()))
    return reasons + ([f"after both were deleted: {'; '.join(wrong)}"] if wrong else [])


def same_key(campaign, scene, threads, wait):
    """The scene's operator twice: one is refused, or waits its turn; the result is that of one."""
    reasons, outcomes = _at_once(campaign, scene, threads, [scene.calls[0], {**scene.calls[0], "wait": wait}])
    refused = [outcome for outcome in outcomes if "error" in outcome]
    if len(refused) == len(outcomes):
        reasons.append("both were refused")
    reasons += [
        f"refused with: {last_line(outcome['error'])}"
        for outcome in refused
        if "already running" not in last_line(outcome["error"])
    ]
    state = campaign.world.read()
    reasons += _compare(campaign, state, scene.names, scene.new, "the run", scene.known_after)
    return reasons + campaign.examiner.examine(scene)


def _at_once(campaign, scene, threads, calls):
    """Runs the calls at once. Returns (reasons, an outcome each)."""
    campaign.world.restore(scene.before)
    if threads:
        children = [campaign.nursery.start("operate", calls=calls)]
    else:
        children = [campaign.nursery.start("operate", calls=[call]) for call in calls]
    reasons, outcomes = [], []
    for child in children:
        if not campaign.nursery.wait(child, END_SECONDS):
            reasons.append(f"it has not ended after {END_SECONDS} s")
        elif child.signal or not child.result or "failed" in child.result:
            reasons.append(f"the process failed: {child.signal or last_line(child.result and child.result['failed'])}")
        else:
            outcomes += [of_one[0] for of_one in child.result["value"]["outcomes"]]
    return reasons, outcomes


def _compare(campaign, state, names, expected, which, known=frozenset()):
    answer = campaign.examiner.ask(names.key)
    if "failed" in answer:
        return [f"check_run of {which} fails: {answer['failed']}"]
    codes = {finding["code"] for finding in answer["findings"]} - set(known)
    reasons = [f"findings of {which}: {', '.join(sorted(codes))}"] if codes else []
    if expected is not None:
        wrong = contents.run_differences(expected, contents.run_contents(state, names, answer))
        reasons += [f"{which} is not what it is alone: {'; '.join(wrong[:3])}"] if wrong else []
    return reasons


def _as_other(run):
    """What the first ``run_elfs`` gives under the other key's names."""

    def renamed(part, old, new):
        return {new if name == old else name: value for name, value in part.items()}

    views = {
        name: text.replace('"elfs.', '"other.').replace('"coreset"', '"other"')
        for name, text in renamed(run.views, "Coreset", "Other").items()
    }
    return replace(
        run, tags=renamed(run.tags, "coreset", "other"), saved=renamed(run.saved, "coreset", "other"), views=views
    )
