"""The same questions after every disturbance. Answers are reasons to fail, in words; none means all is well."""

import re

from . import audit, contents

SECONDS = 240
_NO_STEP = {"in_progress", "run_deleted", "newer_version"}
"""Findings that do not say that something is half written."""

MENDS = 3
_DATE = re.compile(rb'\{\s*"\$date":[^}]*\}')


class Examiner:
    """Asks the questions about one scene after another."""

    def __init__(self, world, nursery, scenes):
        self._world, self._nursery, self._scenes = world, nursery, scenes
        self._reached = {}

    def examine(self, scene):
        """All questions about the state that a disturbance of this scene has left, whose processes are gone."""
        reasons = []
        left = self._world.read()
        reasons += self._users_own(scene, left)
        if scene.target:
            return reasons + self._export(scene, left)
        found, steps = self._whole(scene)
        reasons += found
        if steps:
            if not found:
                reasons += self._deleted(scene, f"delete_run after {', '.join(steps)}")
            self._world.restore(left)
        if scene.operator == "delete_run":
            return reasons + self._deleted(scene, "deleting again")
        reasons += self._again(scene)
        reasons += self._deleted(scene, "delete_run after the rerun")
        self._world.restore(left)
        return reasons + self._deleted(scene, "delete_run at once")

    def call(self, operator, params, **setting):
        """Runs an operator. Returns its outcome."""
        call = {"operator": operator, "params": params}
        try:
            return self._nursery.run("operate", SECONDS, calls=[call], **setting)["outcomes"][0][0]
        except RuntimeError as error:
            return {"error": str(error), "kind": "process"}

    def ask(self, key):
        """What ``check_run`` and its like say of a run; with "failed" when they raise."""
        try:
            return self._nursery.run("ask", keys=[key])[key]
        except RuntimeError as error:
            return {"failed": last_line(error)}

    def _users_own(self, scene, state):
        found = contents.users_own(state, [scene.names])
        found = contents.without_new_labels(scene.user, found, scene.names.labels)
        return [f"the user's own: {text}" for text in contents.differences(scene.user, found)]

    def _whole(self, scene):
        """Whether the run is whole, or said not to be with a step that makes it so. Returns reasons, steps taken."""
        answer = self.ask(scene.names.key)
        if "failed" in answer:
            return [f"check_run fails: {answer['failed']}"], []
        reasons = []
        if answer["job"] == "running" or "in_progress" in [f["code"] for f in answer["findings"]]:
            reasons.append("the dead job is shown as running")
        found = contents.run_contents(self._world.read(), scene.names, answer)
        verdict = audit.judge(scene.old, scene.new, found)
        said = [f for f in answer["findings"] if f["code"] not in _NO_STEP]
        news = [f for f in said if f["code"] not in scene.known_before] or (said if verdict.torn else [])
        if verdict.is_new:
            news = [f for f in news if f["code"] not in scene.known_after]
        if verdict.torn and not news:
            return [*reasons, f"half written, and nothing says so: {'; '.join(verdict.torn[:3])}"], []
        steps = []
        return reasons + (self._mend(scene, news, steps) if news else []), steps

    def _mend(self, scene, findings, taken):
        """Takes the steps that findings offer until there is none, adding them to ``taken``; the run must be whole
        then."""
        for _ in range(MENDS):
            if not findings:
                break
            offered = [f for f in findings if f["operator"]]
            codes = ", ".join(f["code"] for f in findings)
            if not offered:
                return [f"no step is offered for {codes}"]
            operator = offered[0]["operator"]
            if operator == "delete_run" and scene.operator != "delete_run":
                return [f"for {codes} it offers to delete the run"]
            taken.append(operator)
            outcome = self.call(operator, scene.step(operator))
            if "error" in outcome:
                return [f"{operator}, offered for {codes}, fails: {last_line(outcome['error'])}"]
            answer = self.ask(scene.names.key)
            if "failed" in answer:
                return [f"check_run fails after {operator}: {answer['failed']}"]
            known = scene.known_before | scene.known_after | _NO_STEP
            findings = [f for f in answer["findings"] if f["code"] not in known]
        if findings:
            return [f"after {', '.join(taken)} there is still {', '.join(f['code'] for f in findings)}"]
        if scene.operator == "delete_run":
            return []  # whether it is all gone is asked next
        found = contents.run_contents(self._world.read(), scene.names, answer)
        # A step may end before the operator would have: the run is whole then, up to a stage.
        wrong = audit.judge(scene.old, scene.new, found).torn
        if not wrong or self._reachable(scene, taken, found):
            return []
        return [f"{', '.join(taken)}, offered, does not make it whole: {'; '.join(wrong[:2])}"]

    def _reachable(self, scene, steps, found):
        """Whether these steps lead there from the undisturbed old or new state as well."""
        now = self._world.read()
        try:
            for state in (scene.after, scene.before):
                name = (scene.name, state is scene.after, *steps)
                if name not in self._reached:
                    self._world.restore(state)
                    for step in steps:
                        self.call(step, scene.step(step))
                    self._reached[name] = self._scenes.look(scene.names)[0]
                if self._reached[name] == found:
                    return True
            return False
        finally:
            self._world.restore(now)

    def _again(self, scene):
        """Whether the operator, run again, gives what it gives undisturbed, and leaves nothing behind."""
        if scene.once and self._is_done(scene):
            return self._left_behind(scene, self._world.read())
        outcome = self.call(scene.operator, scene.params, **scene.setting)
        if "error" in outcome:
            return [f"running it again fails: {last_line(outcome['error'])}"]
        answer = self.ask(scene.names.key)
        if "failed" in answer:
            return [f"check_run fails after the rerun: {answer['failed']}"]
        state = self._world.read()
        wrong = contents.run_differences(scene.new, contents.run_contents(state, scene.names, answer))
        reasons = [f"the rerun gives another result: {'; '.join(wrong[:3])}"] if wrong else []
        codes = {f["code"] for f in answer["findings"]} - scene.known_after
        if codes:
            reasons.append(f"findings after the rerun: {', '.join(sorted(codes))}")
        return reasons + self._left_behind(scene, state)

    def _is_done(self, scene):
        """Whether the operator was carried out, or is when what it began is finished."""
        if scene.operator == "next_batch" and self.ask(scene.names.key).get("job") != "completed":
            return False  # asked again it must finish the batch that it had decided, and choose no other
        self.call("repair_run", {"key": scene.names.key})
        return self._scenes.look(scene.names)[0] == scene.new

    def _left_behind(self, scene, state):
        """Files and collections that an undisturbed operator does not leave."""
        expected, found = ({name for name in contents.files_below(s, "home")} for s in (scene.after, state))
        reasons = [f"left in the run's folder: {', '.join(sorted(found - expected)[:3])}"] if found - expected else []
        for name, (documents, _) in state.collections.items():
            more = len(documents) - len(scene.after.collections.get(name, ((),))[0])
            if more > 0 or name not in scene.after.collections:
                reasons.append(f"left in the database: {more} more documents in {name}")
        return reasons + left_over(scene, state) + lists(scene, state) + self._users_own(scene, state)

    def _deleted(self, scene, when):
        """Whether deleting the run leaves the dataset exactly as it was before it."""
        labels = self._labels(scene)
        outcome = self.call("delete_run", {"key": scene.names.key})
        if self._labels(scene) != labels:
            return [f"{when}: labels went with the run"]
        found = contents.everything(self._world.read())
        wrong = contents.differences(scene.clean, contents.without_new_labels(scene.clean, found, scene.names.labels))
        if not wrong:
            return []
        said = f" (delete_run: {last_line(outcome['error'])})" if "error" in outcome else ""
        return [f"{when}: {'; '.join(wrong)}{said}"]

    def _labels(self, scene):
        state = self._world.read()
        samples = contents.documents(state, contents.samples_collection(state))
        return {str(sample["_id"]): sample.get(scene.names.labels) for sample in samples}

    def _export(self, scene, left):
        """Whether the target is whole or not there, before and after a rerun, and nothing else has come."""
        old, new, found = (_target(state, scene.target) for state in (scene.before, scene.after, left))
        reasons = []
        if found not in (old, new):
            reasons.append(f"a part of an export is at its target: {len(found)} of {len(new)} files")
        reasons += self._run_untouched(scene)
        # Also over a whole one: the next export removes what the killed one left, if only to say that there is one.
        outcome = self.call(scene.operator, scene.params)
        if "error" in outcome and found != new:
            return [*reasons, f"running it again fails: {last_line(outcome['error'])}"]
        state = self._world.read()
        if _target(state, scene.target) != new:
            reasons.append("the rerun exports something else")
        return reasons + left_over(scene, state) + self._users_own(scene, state)

    def _run_untouched(self, scene):
        found, codes = self._scenes.look(scene.names)
        reasons = [f"the export changed the run: {'; '.join(contents.run_differences(scene.old, found)[:2])}"]
        return (reasons if found != scene.old else []) + ([f"findings: {codes}"] if codes else [])


def left_over(scene, state):
    """What an export leaves beside its target and what was there."""
    known = contents.files_below(scene.before, "out").keys() | contents.files_below(scene.after, "out").keys()
    extra = sorted(contents.files_below(state, "out").keys() - known)
    return [f"left beside the export: {', '.join(extra[:3])}"] if extra else []


def lists(scene, state):
    """Lists for annotators that are others than those of an undisturbed operator."""
    expected, found = (
        {path: content for path, content in contents.files_below(one, "out").items() if path.endswith(".csv")}
        for one in (scene.after, state)
    )
    return [f"files: {text}" for text in contents.differences(expected, found)]


def _target(state, target):
    files = contents.files_below(state, "out")
    mine = {path: content for path, content in files.items() if path == target or path.startswith(f"{target}/")}
    # FiftyOne writes when the dataset was last loaded, and when it declared its own fields.
    return {
        path: _DATE.sub(b"", content) if path.endswith("/metadata.json") and content else content
        for path, content in mine.items()
    }


def last_line(text):
    """The last line of an error, which says what is wrong."""
    lines = [line for line in str(text).strip().splitlines() if line.strip()]
    return lines[-1][-240:] if lines else "(without a word)"
