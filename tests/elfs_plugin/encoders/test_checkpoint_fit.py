import torch

from elfs_plugin.encoders.checkpoint_fit import misfit, renamed

NETWORK = {"a": torch.zeros(2, 3), "b": torch.zeros(2), "c": torch.zeros(())}


def test_what_does_not_fit_is_named():
    state = {"a": torch.zeros(4, 3), "b": torch.zeros(2), "x": torch.zeros(1)}
    assert misfit(state, NETWORK) == (
        "it lacks 1 of the model's 3 weights (c); 1 of its weights have another shape (a is 4 x 3 in it and 2 x 3 in "
        "the model); it has 1 that the model does not have (x)"
    )
    assert misfit(NETWORK, NETWORK) == ""


def test_few_of_many_are_named():
    network = {f"w{k}": torch.zeros(1) for k in range(9)}
    assert misfit({}, network) == "it lacks 9 of the model's 9 weights (w0, w1, w2, …)"


def test_a_number_and_what_is_no_tensor_have_shapes_in_words():
    assert "c is no tensor in it and one number in the model" in misfit({**NETWORK, "c": "text"}, NETWORK)


def test_the_same_shapes_in_the_same_order_are_given_other_names():
    values = [torch.full((2, 3), 1.0), torch.full((2,), 2.0), torch.tensor(3.0)]
    state = dict(zip("xyz", values))
    found = renamed(state, NETWORK)
    assert list(found) == ["a", "b", "c"] and all(one is other for one, other in zip(found.values(), values))
    with_classifier = {**state, "fc.weight": torch.zeros(5, 2), "fc.bias": torch.zeros(5)}
    assert list(renamed(with_classifier, NETWORK)) == ["a", "b", "c"]


def test_other_shapes_another_order_or_more_tensors_are_another_network():
    values = list(NETWORK.values())
    for others in (values[:2], values[::-1], [*values, *values], [torch.zeros(3, 2), *values[1:]]):
        assert renamed(dict(enumerate(others)), NETWORK) is None
    assert renamed({}, {}) is None
