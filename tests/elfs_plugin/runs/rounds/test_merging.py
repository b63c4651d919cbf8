"""The parts of a round as one, and when a sample of the control set counts."""

from elfs_plugin.runs.rounds.backends.base import Returned
from elfs_plugin.runs.rounds.merging import merge
from elfs_plugin.runs.rounds.state import SentPart

CLASSES = ("cat", "dog")


def merged(*answers, control=None, closing=False):
    """The answers of annotators, each {id: label}, ``"-"`` for skipped."""
    returned = [
        (
            SentPart(f"part {at}", len(given), f"annotator {at}"),
            Returned({i: label for i, label in given.items() if label != "-"}, {i for i in given if given[i] == "-"}),
        )
        for at, given in enumerate(answers)
    ]
    return merge(returned, CLASSES, control, closing)


def test_what_one_annotator_was_asked_counts_at_once():
    found = merged({"a": "cat", "b": "-"}, {"c": "dog"})
    assert found.labels == {"a": "cat", "c": "dog"} and found.skipped == {"b"} and found.control == {}
    assert found.by == {"a": "annotator 0", "c": "annotator 1"}


def test_the_majority_counts_once_all_have_answered():
    control = {"a": 3}
    assert merged({"a": "cat"}, {"a": "cat"}, control=control).labels == {}
    found = merged({"a": "cat"}, {"a": "dog"}, {"a": "cat"}, control=control)
    assert found.labels == {"a": "cat"} and found.disagreed == ["a"]
    assert found.control == {"images": 1, "agreed": 0, "waiting": 0}


def test_a_disagreement_is_told_before_the_last_has_answered_and_is_no_tie_yet():
    found = merged({"a": "cat", "b": "dog"}, {"a": "dog", "b": "dog"}, control={"a": 3, "b": 3})
    assert found.disagreed == ["a"] and found.doubled == [] and found.labels == {}
    assert found.control == {"images": 2, "agreed": 1, "waiting": 2}


def test_a_tie_gives_no_label():
    found = merged({"a": "cat"}, {"a": "dog"}, control={"a": 2})
    assert found.labels == {} and found.doubled == ["a"]


def test_skipping_is_an_answer_and_no_vote():
    assert merged({"a": "-"}, {}, control={"a": 2}).skipped == set()
    assert merged({"a": "-"}, {"a": "-"}, control={"a": 2}).skipped == {"a"}
    found = merged({"a": "-"}, {"a": "dog"}, control={"a": 2})
    assert found.labels == {"a": "dog"} and found.skipped == set() and found.disagreed == []


def test_a_label_of_no_class_is_no_answer_for_it_may_be_mended():
    found = merged({"a": "cat"}, {"a": "fish"}, control={"a": 2})
    assert found.labels == {} and found.unknown == {"fish": 1} and found.control["waiting"] == 1


def test_when_the_round_ends_the_answers_that_there_are_count():
    answers = {"a": "cat", "b": "-"}, {"a": "cat"}
    found = merged(*answers, control={"a": 3, "b": 3, "c": 3}, closing=True)
    assert found.labels == {"a": "cat"} and found.skipped == {"b"}
    assert found.control == {"images": 1, "agreed": 1, "waiting": 3}
