import numpy as np
import pandas
import pytest
import torch

from elfs_plugin.arrays import as_array, as_matrix, as_row
from elfs_plugin.errors import InvalidInput

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)

KINDS = {
    "float32": VALUES,
    "float16": VALUES.astype(np.float16),
    "longdouble": VALUES.astype(np.longdouble),
    "integers": VALUES.astype(np.uint8),
    "other byte order": VALUES.astype(VALUES.dtype.newbyteorder("S")),
    "columns first": np.asfortranarray(VALUES),
    "reversed": VALUES[::-1].copy()[::-1],
    "reversed both ways": VALUES[::-1, ::-1].copy()[::-1, ::-1],
    "every second row": np.repeat(VALUES, 2, axis=0)[::2],
    "objects": VALUES.astype(object),
    "an array of arrays": np.fromiter(iter(VALUES), dtype=object),
    "lists": VALUES.tolist(),
    "a list of arrays": list(VALUES),
    "a tuple of lists": tuple(VALUES.tolist()),
    "a list of tensors": list(torch.tensor(VALUES)),
    "a tensor": torch.tensor(VALUES),
    "a tensor with gradients": torch.tensor(VALUES, requires_grad=True),
    "bfloat16": torch.tensor(VALUES).bfloat16(),
    "a data frame": pandas.DataFrame(VALUES.astype(np.float64)),
    "a data frame of objects": pandas.DataFrame(VALUES.astype(object)),
    "masked": np.ma.masked_array(VALUES, mask=False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_become_an_array_that_pytorch_takes(kind):
    array = as_matrix(KINDS[kind])
    assert array.shape == (4, 3) and (array == VALUES).all()
    assert torch.equal(torch.from_numpy(array.copy()).float(), torch.from_numpy(VALUES))


def test_a_sound_array_is_not_copied(tmp_path):
    np.save(tmp_path / "a.npy", VALUES)
    for array in (VALUES, VALUES[1:], np.load(tmp_path / "a.npy", mmap_mode="r")):
        assert np.shares_memory(as_matrix(array), array)


def test_what_is_missing_is_nan():
    assert np.isnan(as_matrix(np.ma.masked_array(VALUES, mask=VALUES == 5))).sum() == 1
    assert np.isnan(as_matrix(np.array([[1, None], [2, 3]], dtype=object))).sum() == 1


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2], [3]],
        [["a", "b"]],
        np.array([["1", "2"]]),
        np.array([["a", 1]], dtype=object),
        {"a": 1},
        (row for row in VALUES),
        VALUES + 1j,
        VALUES[0],
        VALUES[None],
        5,
        None,
        np.empty((3, 0)),
        pandas.DataFrame({"path": ["a.png"]}),
    ],
    ids=lambda values: type(values).__name__,
)
def test_what_is_no_matrix_of_numbers_is_refused(values):
    with pytest.raises(InvalidInput, match="The embeddings (must|are not)") as caught:
        as_matrix(values, "The embeddings", "source")
    assert caught.value.field == "source"


def test_rows():
    assert as_row([1, 2], 2, "The labels").tolist() == [1, 2]
    for values in ([1], [[1], [2]], 3):
        with pytest.raises(InvalidInput, match="The labels must be one number for each of 2 samples"):
            as_row(values, 2, "The labels")


def test_numbers_of_any_shape():
    assert as_array(5, "It").shape == ()
