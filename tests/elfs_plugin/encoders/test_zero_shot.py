import json

import numpy as np
import pytest
import torch
from PIL import Image

from elfs_plugin.encoders.zero_shot import zero_shot
from elfs_plugin.errors import InvalidInput, MissingModel

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1},
}
CLASSES = ["cat", "dog", "a rather long name of a class"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A tiny randomly initialised OpenCLIP model with a real vocabulary, registered, and its checkpoint."""
    import open_clip

    folder = tmp_path_factory.mktemp("clip")
    (folder / "elfs-words.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "elfs-words.json")
    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms("elfs-words")
    torch.save(model.state_dict(), folder / "tiny.pt")
    return model.eval(), transform, folder / "tiny.pt"


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{index}.png" for index in range(6)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    paths[2].write_text("no image")
    return paths


def test_the_class_is_that_of_the_nearest_sentence(clip, photos):
    import open_clip

    model, transform, checkpoint = clip
    found = zero_shot(photos, CLASSES, "open_clip:elfs-words", weights=checkpoint, device="cpu")
    assert found.ok.tolist() == [True, True, False, True, True, True] and list(found.failures) == [2]
    images = torch.stack([transform(Image.open(photos[i]).convert("RGB")) for i in (0, 1, 3, 4, 5)])
    tokens = open_clip.get_tokenizer("elfs-words")([f"a photo of a {name}" for name in CLASSES])
    with torch.inference_mode():
        seen = model.encode_image(images, normalize=True)
        told = model.encode_text(tokens, normalize=True)
        expected = (model.logit_scale.exp() * seen @ told.T).softmax(dim=1)
    assert found.labels.tolist() == expected.argmax(dim=1).tolist()
    assert np.allclose(found.confidence, expected.max(dim=1).values, atol=1e-5)


def test_what_cannot_be(clip, photos):
    with pytest.raises(InvalidInput, match="two classes at least"):
        zero_shot(photos, ["cat"], "open_clip:elfs-words", weights=clip[2])
    with pytest.raises(MissingModel, match="not 'pixels'"):
        zero_shot(photos, CLASSES, "pixels")
    with pytest.raises(MissingModel, match="no model named 'none'"):
        zero_shot(photos, CLASSES, "open_clip:none/openai")
