import time

import pytest

from elfs_plugin import runs
from elfs_plugin.errors import Changed


def save(dataset, budget=4, beta=0.25, tag="kept", **options):
    return runs.select_coreset(dataset, budget=budget, beta=beta, tag=tag, **options)


def token(dataset, tag="kept"):
    return runs.saved_token(runs.load_record(dataset, "elfs"), tag)


def tagged(dataset, tag="kept"):
    return sorted(dataset.match_tags(tag).values("elfs.rank"))


def test_the_record_says_what_was_saved_under_each_tag(written):
    dataset, _ = written
    before = time.time()
    save(dataset, tag="a.b$c")
    save(dataset, budget=2, beta=0, tag="two")
    saved = runs.load_record(dataset, "elfs").saved
    assert list(saved) == ["a.b$c", "two"]
    assert {name: saved["a.b$c"][name] for name in ("beta", "hard", "budget")} == {"beta": 0.25, "hard": 3, "budget": 4}
    assert before <= saved["a.b$c"]["when"] <= saved["two"]["when"] <= time.time()
    assert tagged(dataset, "a.b$c") == [3, 4, 5, 6] and tagged(dataset, "two") == [0, 1]


def test_what_somebody_else_saved_meanwhile_is_not_replaced(written):
    dataset, _ = written
    mine = token(dataset)
    assert mine == ""
    save(dataset, budget=2, beta=0)  # somebody else
    zones = dataset.values("elfs.zone")
    with pytest.raises(Changed, match=r"another coreset \(2 images, β = 0\) under the tag 'kept'") as caught:
        save(dataset, expected=mine)
    assert caught.value.field == "tag"
    assert tagged(dataset) == [0, 1] and dataset.values("elfs.zone") == zones
    save(dataset, expected=token(dataset))
    assert tagged(dataset) == [3, 4, 5, 6]
    save(dataset, tag="other", expected="")
    assert tagged(dataset, "other") == [3, 4, 5, 6]


def test_without_an_expectation_it_is_replaced(written):
    dataset, _ = written
    save(dataset)
    save(dataset, budget=5, beta=0)
    assert tagged(dataset) == [0, 1, 2, 3, 4]


def test_the_same_coreset_saved_again_is_another_save(written):
    dataset, _ = written
    save(dataset)
    first = token(dataset)
    save(dataset)
    assert token(dataset) != first
