"""Values of a wrong type or name are refused in a sentence, whatever their type."""

import numpy as np
import pytest

from elfs_plugin.errors import InvalidInput
from elfs_plugin.selectors import Parameter, required
from elfs_plugin.selectors.parameter import check_all

NUMBER = Parameter("share", "number", 0.1, "…", 0)
WHOLE = Parameter("k", "integer", 5, "…", 1, 50)
CHOICE = Parameter("by", "choice", "size", "…", choices=("size", "age"))
FLAG = Parameter("all", "flag", False, "…")
TEXT = Parameter("slice", "text", None, "…")


def test_numpys_numbers_are_numbers():
    assert NUMBER.check(np.float32(0.1)) == 0.1 and type(NUMBER.check(np.int64(3))) is float
    assert WHOLE.check(np.int64(7)) == 7 and WHOLE.check(7.0) == 7
    assert CHOICE.check(np.str_("age")) == "age" and FLAG.check(np.True_) is True


@pytest.mark.parametrize("value", ["many", None, [1], {}, True, np.array([1, 2]), np.nan, np.inf, 10**400, b"1"])
def test_what_is_no_number(value):
    for parameter in (NUMBER, WHOLE):
        with pytest.raises(InvalidInput, match=f"{parameter.name} must be a"):
            parameter.check(value)


@pytest.mark.parametrize("value", [np.array(["size", "age"]), ["size"], 5, {}])
def test_what_is_no_choice(value):
    with pytest.raises(InvalidInput, match="Unknown by .* Use one of: size, age"):
        CHOICE.check(value)
    with pytest.raises(InvalidInput, match="either true or false"):
        FLAG.check(value)


@pytest.mark.parametrize("value", [5, "", "  ", ["a"], True, b"a", "\udc80"])
def test_what_is_no_text(value):
    with pytest.raises(InvalidInput, match="slice is a text, not"):
        TEXT.check(value)


def test_a_text_or_none():
    assert TEXT.check("left") == "left" and TEXT.check(None) is None


def test_the_closest_name_is_offered():
    with pytest.raises(InvalidInput, match="Did you mean 'size'?"):
        CHOICE.check("sise")
    with pytest.raises(InvalidInput, match="ccs has no parameter 'shar'. It has: share.* Did you mean 'share'?"):
        check_all("ccs", [NUMBER], {"shar": 1})
    with pytest.raises(InvalidInput, match="Unknown selector 'herdin'.*Did you mean 'herding'?"):
        required("herdin")
    for name in (["ccs"], None, 5):
        with pytest.raises(InvalidInput, match="Unknown selector"):
            required(name)
