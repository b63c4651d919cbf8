"""What is disturbed: for each operator the state before it, and what it gives when nobody disturbs it."""

from dataclasses import dataclass, field
from functools import cached_property

import bson

from . import contents
from .contents import Names
from .world import State

IMAGES = 1200
ROUND_TAGS = tuple(f"{name}:v{number}" for name in ("batch", "annotated") for number in (0, 1))
NAMES = Names(
    "elfs",
    ("elfs_embeddings",),
    ("coreset", "moderate", "to_annotate", "golden_qa", "source:coverage", "source:targeted", *ROUND_TAGS),
    ("Coreset", "Moderate", "batch_v0", "batch_v1", "pool", "golden_qa"),
    "human",
)
"""What the runs of the campaign write under."""

FIRST = dict(num_clusters=6, budget=0.2, beta="auto", repeats=2, tag="coreset", view_name="Coreset", seed=0)
AGAIN = {**FIRST, "budget": 0.3, "seed": 1}
SCORES = dict(epochs=12, seed=3)
SELECT = dict(budget=0.4, beta=0.25, tag="coreset", view_name="Coreset")
CHOOSE = dict(method="moderate", budget=0.1, tag="moderate", view_name="Moderate")
CHOOSE_AGAIN = {**CHOOSE, "budget": 0.35}
UPDATED = dict(added=100, deleted=50)

BATCH = dict(budget=60, labels_field="human", golden=20)
NEXT = dict(budget=40, seed=1)
LISTS = "rounds"
"""Where lists for annotators come to, below the world's ``out``."""
SEND = dict(to="files", chunk=40)

ROUNDS = ("next_batch", "next_batch again", "send_batch", "take_back", "learn_labels", "forget_rounds")
"""Scenes of the labelling rounds, each on the state that the one before it leaves, but for the last two."""

EXPORTS = {"csv": "list.csv", "images": "coreset", "fiftyone": "dataset"}
"""Format -> target in the world's ``out``."""

OPERATORS = {
    "run_elfs": 1.0,
    "run_elfs again": 0.5,
    "compute_scores again": 0.5,
    "compute_scores on images": 0.2,
    "select_coreset": 0.5,
    "choose_coreset": 0.5,
    "update_run": 0.5,
    "delete_run": 0.5,
    **dict.fromkeys(ROUNDS, 0.4),
    **{f"export {form}{over}": 0.2 for form in EXPORTS for over in ("", " over")},
}
"""Name of a scene -> how many moments it gets, as a share of those of the first ``run_elfs``."""


@dataclass
class Scene:
    """An operator on a state.

    ``before``, ``after``: :class:`~.world.State`, undisturbed; ``old``, ``new``: the run in them; ``known_before``,
    ``known_after``: codes of the findings in them; ``clean``: :func:`~.contents.everything` without the run;
    ``target``: what an export writes, below ``out``; ``once``: whether the operator, when it has been carried out, has
    nothing more to do: it refuses, or would do something else.
    """

    name: str
    operator: str
    params: dict
    before: State
    after: State
    old: contents.RunContents
    new: contents.RunContents
    known_before: set
    known_after: set
    clean: dict
    seconds: float
    writes: list
    target: str | None = None
    setting: dict = field(default_factory=dict)
    names: Names = NAMES

    @property
    def once(self):
        return self.operator in ("next_batch", "send_batch", "learn_labels", "forget_rounds")

    @property
    def calls(self):
        return [{"operator": self.operator, "params": self.params}]

    @cached_property
    def user(self):
        return contents.users_own(self.before, [self.names])

    def step(self, operator):
        """The parameters with which a user takes the step that a finding offers."""
        if operator == self.operator:
            return self.params
        run = AGAIN if self.name == "run_elfs again" else FIRST
        seed = {"seed": run["seed"]}
        own = {
            "run_elfs": run,
            "compute_embeddings": seed,
            "compute_pseudo_labels": {"num_clusters": run["num_clusters"], **seed},
            "compute_scores": seed,
            "select_coreset": {name: run[name] for name in ("budget", "beta", "tag", "view_name")},
        }
        return own.get(operator, {"key": self.names.key})


class Scenes:
    """Makes scenes when they are first asked for."""

    def __init__(self, world, nursery):
        self._world, self._nursery = world, nursery
        self._states, self._scenes = {}, {}

    def base(self):
        """The dataset with what is the user's, and no run."""
        if "base" not in self._states:
            self._nursery.run("make_dataset", images=IMAGES)
            self._states["base"] = self._world.read()
        return self._states["base"]

    def finished(self):
        """The state after a first ``run_elfs``."""
        return self.scene("run_elfs").after

    def scene(self, name):
        if name not in self._scenes:
            self._scenes[name] = self._make(name)
        return self._scenes[name]

    def _make(self, name):
        words = name.split()
        target, setting = None, {}
        if name == "run_elfs":
            before, operator, params = self.base(), "run_elfs", FIRST
        elif name == "run_elfs again":
            before, operator, params = self.finished(), "run_elfs", AGAIN
        elif name == "compute_scores again":
            before, operator, params = self.finished(), "compute_scores", SCORES
        elif name == "compute_scores on images":
            before, operator = self.finished(), "compute_scores"
            params, setting = dict(proxy="resnet8", epochs=1, image_size=16), {"temporary_limit": 1 << 18}
        elif name == "select_coreset":
            before, operator, params = self.finished(), "select_coreset", SELECT
        elif name == "choose_coreset":
            before = self._then("chosen", self.finished(), "select_coreset", CHOOSE)
            operator, params = "select_coreset", CHOOSE_AGAIN
        elif name == "update_run":
            before, operator, params = self._changed(), "update_run", {}
        elif name == "delete_run":
            before = self._then("chosen", self.finished(), "select_coreset", CHOOSE)
            operator, params = "delete_run", {"key": NAMES.key}
        elif name in ROUNDS:
            before, operator, params = self._of_rounds(name)
        elif words[0] == "export":
            target, operator = EXPORTS[words[1]], "export_coreset"
            params = dict(path=str(self._world.root / "out" / target), format=words[1])
            before = self.finished()
            if words[-1] == "over":
                before = self._then(f"{name} before", before, operator, {**params, "zone": "hard"})
                params = {**params, "overwrite": True}
        else:
            raise ValueError(f"There is no scene {name!r}.")
        return self._play(name, before, operator, params, target, setting)

    def _of_rounds(self, name):
        if name == "next_batch":
            return self._then("chosen", self.finished(), "select_coreset", CHOOSE), name, BATCH
        if name == "send_batch":
            params = {**SEND, "options": {"path": str(self._world.root / "out" / LISTS)}}
            return self.scene("next_batch").after, name, params
        if name == "take_back":
            return self._filled(), name, {}
        before = self.scene("take_back").after
        return before, name.split()[0], NEXT if name == "next_batch again" else {}

    def _filled(self):
        """What was sent, labelled by annotators who have refused some images and not got to others."""
        if "filled" not in self._states:
            self._world.restore(self.scene("send_batch").after)
            folder = str(self._world.root / "out" / LISTS)
            self._nursery.run("fill_in", folder=folder, skipped=1, waiting=3)
            self._states["filled"] = self._world.read()
        return self._states["filled"]

    def _play(self, name, before, operator, params, target, setting):
        self._world.restore(before)
        old, known_before = self.look()
        found = self._nursery.run("operate", calls=[{"operator": operator, "params": params}], **setting)
        outcome = found["outcomes"][0][0]
        if "error" in outcome:
            raise RuntimeError(f"{name} fails undisturbed: {outcome['error']}")
        new, known_after = self.look()
        after = self._world.read()
        clean = self._clean(before) if name == "update_run" else contents.everything(self.base())
        return Scene(
            name,
            operator,
            params,
            before,
            after,
            old,
            new,
            known_before,
            known_after,
            clean,
            found["seconds"],
            found["writes"],
            target,
            setting,
        )

    def look(self, names=NAMES):
        """:class:`~.contents.RunContents` of the run that is there now, and the codes of its findings."""
        answer = self._nursery.run("ask", keys=[names.key])[names.key]
        return (
            contents.run_contents(self._world.read(), names, answer),
            {finding["code"] for finding in answer["findings"]},
        )

    def _then(self, label, state, operator, params):
        """The state after one more operator."""
        if label not in self._states:
            self._world.restore(state)
            found = self._nursery.run("operate", calls=[{"operator": operator, "params": params}])["outcomes"][0][0]
            if "error" in found:
                raise RuntimeError(f"{operator} fails undisturbed: {found['error']}")
            self._states[label] = self._world.read()
        return self._states[label]

    def _changed(self):
        if "changed" not in self._states:
            self._world.restore(self.finished())
            self._nursery.run("change_samples", **UPDATED)
            self._states["changed"] = self._world.read()
        return self._states["changed"]

    def _clean(self, changed):
        """:func:`~.contents.everything` of the base with the samples of a changed dataset, the run's part taken off."""
        base = self.base()
        name = contents.samples_collection(base)
        samples = []
        for document in contents.documents(changed, name):
            for part in (NAMES.key, *NAMES.vectors):
                document.pop(part, None)
            document["tags"] = [tag for tag in document["tags"] if tag not in NAMES.tags]
            samples.append(bson.encode(document))
        mixed = {**base.collections, name: (samples, base.collections[name][1])}
        return contents.everything(State(mixed, base.files))
