import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.rounds.class_budgets import as_mapping, checked, grouped

CLASSES = np.array(["ant", "bee", "cat"])
PREDICTED = np.array([0] * 5 + [1] * 3 + [2] * 2)


def counts(wanted, budget, free=None):
    free = np.ones(10, dtype=bool) if free is None else free
    groups, warnings = grouped(wanted, budget, free, CLASSES, PREDICTED)
    assert sum(group.count for group in groups) == budget
    assert all(group.count <= group.members.sum() for group in groups)
    return [group.count for group in groups], warnings


def test_without_budgets_all_are_one_group():
    assert counts({}, 4) == ([4], [])


def test_named_classes_give_what_is_wanted_and_the_others_the_rest():
    assert counts({"bee": 2}, 6) == ([2, 4], [])
    assert counts({"ant": 1, "bee": 0}, 2) == ([1, 1], [])


def test_a_class_that_has_too_few_is_told():
    found, warnings = counts({"cat": 4}, 6)
    assert found == [2, 4] and warnings == ["The model takes only 2 images that are left for 'cat': not 4 as wanted."]


def test_a_class_without_labels_is_told():
    found, warnings = counts({"dog": 3}, 5)
    assert found == [5] and "No label is of the class 'dog' yet" in warnings[0]


def test_where_the_others_are_too_few_the_named_ones_give_more():
    assert counts({"ant": 1, "bee": 1}, 8)[0] == [4, 2, 2]


def test_only_free_samples_count():
    free = np.arange(10) >= 3
    assert counts({"ant": 3}, 4, free)[0] == [2, 2]


@pytest.mark.parametrize("wanted", [{"ant": -1}, {"ant": 1.5}, {"ant": None}, {"ant": 3, "bee": 3}])
def test_budgets_that_cannot_be(wanted):
    with pytest.raises(InvalidInput) as error:
        checked(wanted, 5)
    assert error.value.field == "class_budgets"


def test_budgets_are_whole_numbers():
    assert checked({"ant": np.int64(2), "bee": 3.0}, 5) == {"ant": 2, "bee": 3} and checked(None, 5) == {}


def test_budgets_as_a_text():
    assert as_mapping("ant=2, red bee = 3\n a=b=1,") == {"ant": 2, "red bee": 3, "a=b": 1}
    assert as_mapping("") == as_mapping(None) == {} and as_mapping({"ant": 2}) == {"ant": 2}
    assert checked("ant=2,bee=3", 5) == {"ant": 2, "bee": 3}


@pytest.mark.parametrize("text", ["ant", "ant=", "=2", "ant=few", "ant=-1", "ant=1.5", "ant=1, ant=2", "ant=3, bee=3"])
def test_a_text_of_another_form_is_refused(text):
    with pytest.raises(InvalidInput) as error:
        checked(text, 5)
    assert error.value.field == "class_budgets"
