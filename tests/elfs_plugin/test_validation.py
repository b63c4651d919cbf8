import numpy as np
import pytest
import torch

from elfs_plugin.errors import InvalidInput
from elfs_plugin.validation import (
    plain_number,
    validate_epochs,
    validate_image_size,
    validate_neighbors,
    validate_seed,
    whole_number,
)

NO_NUMBERS = [True, np.bool_(False), 1.5, "5", "", float("nan"), np.inf, [1], np.arange(2), {}, b"1"]


@pytest.mark.parametrize("value", [5, 5.0, np.int64(5), np.uint8(5), np.float32(5), np.array(5), torch.tensor(5)])
def test_whole_numbers_of_any_type_become_an_int(value):
    assert whole_number(value) == 5 and type(whole_number(value)) is int
    for validate in (validate_seed, validate_neighbors, validate_epochs):
        assert type(validate(value)) is int


@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
@pytest.mark.parametrize(
    ("validate", "field"),
    [
        (validate_seed, "seed"),
        (validate_neighbors, "neighbors"),
        (validate_image_size, "image_size"),
        (validate_epochs, "epochs"),
    ],
)
def test_what_is_no_whole_number_is_refused(validate, field, value):
    with pytest.raises(InvalidInput, match="must be a whole number") as caught:
        validate(value)
    assert caught.value.field == field


@pytest.mark.parametrize("seed", [-1, 2**32, 2**64, np.int64(-5), None])
def test_impossible_seeds(seed):
    with pytest.raises(InvalidInput, match="from 0 to 4,294,967,295"):
        validate_seed(seed)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_the_first_and_the_last_seed_are_taken_by_all_generators(seed):
    assert validate_seed(seed) == seed
    np.random.default_rng([seed, 1])
    np.random.RandomState(seed)
    torch.Generator().manual_seed(seed)


def test_neighbors():
    assert validate_neighbors(None) is None and validate_neighbors(None, 10) is None
    assert validate_neighbors(50, 10) == 9 and validate_neighbors(10**30, 10) == 9 and validate_neighbors(3, 10) == 3
    for k in (0, -5):
        with pytest.raises(InvalidInput, match="from 1"):
            validate_neighbors(k, 10)


def test_image_sizes():
    assert validate_image_size(None) is None
    assert [validate_image_size(size) for size in (8, np.int32(1024))] == [8, 1024]
    for size in (7, 0, -3, 1025):
        with pytest.raises(InvalidInput, match="from 8 to 1,024 pixels"):
            validate_image_size(size)


def test_epochs():
    assert validate_epochs(None) is None and validate_epochs(1) == 1
    for epochs in (0, -1, 10**9):
        with pytest.raises(InvalidInput, match="from 1 to 100,000"):
            validate_epochs(epochs)


def test_numpy_s_numbers_become_python_s():
    for value, found in ((np.float32(0.7), 0.7), (np.array(3), 3), (np.bool_(True), True), (np.str_("a"), "a")):
        assert plain_number(value) == found and type(plain_number(value)) is type(found)
    row = np.arange(3)
    assert plain_number(row) is row and plain_number("0.7") == "0.7"


def test_a_long_value_is_shown_shortened():
    with pytest.raises(InvalidInput) as caught:
        validate_seed("x" * 10_000)
    assert len(str(caught.value)) < 200
