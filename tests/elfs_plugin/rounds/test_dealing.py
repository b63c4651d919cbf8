import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.rounds import agreement, deal, majority


def dealt(*arguments, **options):
    return [(share.annotator, share.ids) for share in deal(*arguments, **options)]


def test_turns_change_direction():
    assert dealt(range(7), ["ann", "bob"]) == [("ann", [0, 3, 4]), ("bob", [1, 2, 5, 6])]
    assert dealt(range(6), ["a", "b", "c"]) == [("a", [0, 5]), ("b", [1, 4]), ("c", [2, 3])]


def test_nobody_in_particular_gets_all_in_order():
    assert dealt("abcde") == [(None, list("abcde"))]
    assert dealt("abcde", chunk=2) == [(None, ["a", "b"]), (None, ["c", "d"]), (None, ["e"])]


def test_the_control_set_is_spread_and_comes_first_for_everybody():
    shares = deal(range(12), ["ann", "bob"], control=3)
    assert [share.ids[:3] for share in shares] == [[2, 6, 10]] * 2
    assert sorted(shares[0].ids[3:] + shares[1].ids[3:]) == [0, 1, 3, 4, 5, 7, 8, 9, 11]
    assert deal(range(4), ["ann", "bob"], control=4)[1].ids == [0, 1, 2, 3]


def test_nobody_gets_a_sample_twice_and_no_chunk_is_too_large():
    shares = deal(range(101), ["a", "b", "c"], chunk=10, control=7)
    for name in "abc":
        own = [sample for share in shares if share.annotator == name for sample in share.ids]
        assert len(own) == len(set(own)) and own[:7] == [7, 21, 36, 50, 64, 79, 93]
    assert {sample for share in shares for sample in share.ids} == set(range(101))
    assert max(len(share.ids) for share in shares) == 10 and all(share.ids for share in shares)


def test_one_annotator_has_no_control_set():
    assert dealt(range(4), ["ann"], control=2) == [("ann", [0, 1, 2, 3])]


def test_who_gets_nothing_has_no_share():
    assert dealt([5], ["ann", "bob"]) == [("ann", [5])]
    assert deal([], ["ann", "bob"]) == []


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"ids": [1, 1]}, "ids"),
        ({"annotators": ["a", "a"]}, "annotators"),
        ({"chunk": 0}, "chunk"),
        ({"chunk": 1.5}, "chunk"),
        ({"control": 4}, "control"),
        ({"control": -1}, "control"),
    ],
)
def test_what_cannot_be_dealt(options, field):
    with pytest.raises(InvalidInput) as error:
        deal(**{"ids": [1, 2, 3], **options})
    assert error.value.field == field


def test_agreement_counts_samples_that_two_or_more_have_labelled():
    found = agreement(
        {"ann": {1: "cat", 2: "dog", 3: "cat", 9: "x"}, "bob": {1: "cat", 2: "cat", 9: "y"}, "eve": {2: "dog"}},
        [1, 2, 3, 4],
    )
    assert (found.share, found.compared) == (0.5, 2)
    assert found.disagreements == {2: {"ann": "dog", "bob": "cat", "eve": "dog"}}
    assert agreement({"ann": {1: "cat"}}, [1]).share is None


def test_majority_reports_ties():
    found = majority({1: ["a", "b", "a"], 2: ["b", "a"], 3: [], 4: ["c"], 5: ["b", "b", "a", "a", "c"]})
    assert found.labels == {1: "a", 4: "c"}
    assert found.ties == {2: ["a", "b"], 5: ["a", "b"]}
