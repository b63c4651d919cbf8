import pytest

from elfs_plugin.encoders.known import ENCODERS, labels_in_words, seen_labels
from elfs_plugin.encoders.provenance import Provenance, provenance_of


@pytest.mark.parametrize(
    ("encoder", "seen"),
    [
        ("pixels", False),
        ("lite0", True),
        ("timm:resnet50.a1_in1k", True),
        ("timm:vit_base_patch16_224.augreg2_in21k_ft_in1k", True),
        ("timm:vit_base_patch16_224.dino", False),
        ("timm:vit_small_patch14_dinov2.lvd142m", False),
        ("timm:vit_base_patch16_224.mae", False),
        ("timm:convnextv2_base.fcmae", False),
        ("timm:convnextv2_base.fcmae_ft_in22k_in1k", True),  # supervised after all
        ("timm:vit_huge_patch14_gap_224.in1k_ijepa", False),  # ImageNet's images, not its labels
        ("timm:vit_base_patch16_clip_224.openai", False),
        ("timm:vit_base_patch16_clip_224.openai_ft_in1k", True),
        ("timm:test_resnet.r160_in1k", True),
        ("timm:some_model.secret_recipe", None),
        ("timm:resnet50", None),
        ("open_clip:ViT-B-32/openai", False),
        ("zoo:clip-vit-base32-torch", False),
        ("zoo:dinov2-vits14-torch", False),
        ("zoo:resnet50-imagenet-torch", True),
        ("zoo:mine", None),
        ("mine", None),
    ],
)
def test_who_has_seen_class_labels(encoder, seen):
    assert seen_labels(encoder) is seen


def test_of_a_local_checkpoint_nobody_knows():
    assert seen_labels("timm:resnet50.a1_in1k", weights="mine.pth") is None


def test_every_encoder_of_the_forms_is_known():
    assert {name for name in ENCODERS if seen_labels(name) is None} == set()


def test_in_words():
    assert labels_in_words("lite0", True) == "lite0, trained on class labels"
    assert labels_in_words("timm:x.dino", False) == "timm:x.dino, trained without class labels"
    assert labels_in_words("pixels", False) == "pixels, not trained on anything"
    assert labels_in_words("zoo:x", None) == "zoo:x; whether it has seen class labels is not known"
    assert labels_in_words(None, None).startswith("vectors of a field")


def test_the_tag_that_timm_takes_by_itself_counts():
    class Encoder:
        name = "timm:resnet18"  # a1_in1k

    assert provenance_of(Encoder()) == Provenance("timm:resnet18", seen_labels=True)
    assert provenance_of(Encoder(), weights="mine.pth").seen_labels is None
    assert provenance_of(object()) is None


def test_what_a_newer_version_has_kept_beside_is_left_out():
    made = Provenance("lite0", "224", "abc", True)
    assert Provenance.from_dict({**made.to_dict(), "more": 1}) == made
