from elfs_plugin.encoders.inference import PYTORCH, engine_of


def test_the_engine_is_read_from_the_words():
    assert engine_of("bfloat16 by OpenVINO 2026.4") == "OpenVINO 2026.4"
    assert engine_of("float32 by PyTorch") == engine_of("") == PYTORCH
