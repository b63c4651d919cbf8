"""What the tab shows of the rounds, read from a record alone."""

from types import SimpleNamespace

import pytest

from elfs_plugin.runs.record import RunRecord
from elfs_plugin.runs.rounds import state, timeline
from elfs_plugin.runs.rounds.queue import Counts


def run_of(*rounds, golden=0):
    """A run that has nothing but a record."""
    record = RunRecord("elfs", labelling={"labels_field": "human", "classes": ["a"], "golden": golden})
    for one in rounds:
        state.keep(record, one)
    return SimpleNamespace(record=record, key="elfs")


def part(state_="sent", **given):
    return state.SentPart("elfs_r0_0", 5, state=state_, **given)


class TestNextStep:
    def step(self, *rounds, waiting=None, golden=0):
        found = timeline.next_step(run_of(*rounds, golden=golden), waiting)
        assert found.text[0].isupper() and found.text.endswith(".")
        return found

    def test_without_rounds_a_batch_is_chosen(self):
        assert self.step().name == timeline.next_step(SimpleNamespace(record=None)).name == "choose"

    def test_what_is_chosen_is_sent(self):
        found = self.step(state.Round(0, chosen=1500))
        assert found.name == "send" and "Round 0 is chosen: 1,500 images" in found.text

    def test_what_was_sent_in_part_is_sent_to_the_end(self):
        found = self.step(state.Round(0, "sent", parts=[part(), part("planned")], sent={"to": "label_studio"}))
        assert found.name == "send" and "in part" in found.text

    @pytest.mark.parametrize("waiting, name", [(None, "label"), (3, "label"), (1, "label"), (0, "take_back")])
    def test_in_the_app_images_are_labelled_until_none_waits(self, waiting, name):
        found = self.step(state.Round(0, "sent", parts=[part()], sent={"to": "in_app"}), waiting=waiting)
        assert found.name == name
        words = {None: "images wait for", 3: "3 images wait for", 1: "1 image waits for", 0: "Take its labels back"}
        assert words[waiting] in found.text

    def test_elsewhere_labels_are_taken_back_whatever_waits(self):
        sent = {"to": "label_studio"}
        assert self.step(state.Round(0, "sent", parts=[part()], sent=sent), waiting=9).name == "take_back"
        found = self.step(state.Round(0, "returned", parts=[part("returned")], sent=sent))
        assert found.name == "take_back" and "Some labels of it are back" in found.text

    def test_what_is_back_is_learnt_from_and_then_the_next_batch_is_chosen(self):
        assert self.step(state.Round(0, "accepted")).name == "learn"
        assert "golden set" not in self.step(state.Round(0, "accepted")).text
        assert "golden set" in self.step(state.Round(0, "accepted"), golden=50).text
        assert self.step(state.Round(0, "accepted", when={"learnt": 1.0})).name == "choose"
        assert self.step(state.Round(0, "accepted", measured={"accuracy": 0.5})).name == "choose"

    def test_the_last_round_counts(self):
        first = state.Round(0, "accepted", measured={"accuracy": 0.5})
        assert self.step(first, state.Round(1)).name == "send"


class TestTimeline:
    def test_a_round_says_what_happened_in_it(self):
        one = state.Round(
            1,
            "returned",
            method="mixed",
            chosen=10,
            sources={"coverage": 3, "targeted": 7},
            when={"selected": 1.0, "returned": 9.0},
            sent={"to": "label_studio"},
            parts=[part(annotator="ann"), part("returned")],
            returned={"labelled": 6},
        )
        first, second = timeline.timeline(run_of(state.Round(0, "accepted"), one), {1: Counts(6, 1, 3)})
        assert (first.number, first.to, first.measured, first.counts, first.when) == (0, None, None, None, None)
        assert (second.state, second.method, second.chosen, second.to) == ("returned", "mixed", 10, "label_studio")
        assert second.sources == {"coverage": 3, "targeted": 7} and second.returned == {"labelled": 6}
        assert [(p.annotator, p.state) for p in second.parts] == [("ann", "sent"), (None, "returned")]
        assert (second.when, second.counts.all) == (9.0, 10)

    def test_the_curve_has_the_rounds_that_were_measured(self):
        rounds = [
            state.Round(0, measured={"accuracy": 0.5, "standard_error": 0.05, "n": 100, "labels": 20}),
            state.Round(1),
            state.Round(2, measured={"accuracy": 0.7, "random": {"accuracy": 0.6}}),
            state.Round(3, measured={"accuracy": 0.8, "random": 0.7}),
        ]
        found = timeline.measurements(run_of(*rounds))
        assert found[0] == timeline.Measured(0, 0.5, 0.05, 100, 20, None)
        assert [(one.number, one.standard_error, one.random) for one in found[1:]] == [(2, None, 0.6), (3, None, 0.7)]
        assert [entry.measured for entry in timeline.timeline(run_of(*rounds))][1] is None

    def test_no_run_has_no_rounds(self):
        assert timeline.timeline(SimpleNamespace(record=None)) == []
