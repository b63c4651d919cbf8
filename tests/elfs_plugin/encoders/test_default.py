import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from PIL import Image

from elfs_plugin.encoders import default
from elfs_plugin.encoders.default import Hub, default_encoder, resolve_encoder, tiny
from elfs_plugin.encoders.known import DINOV2


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No hub answers, and nothing is cached."""
    monkeypatch.setattr(default, "hub", Answering(False))
    monkeypatch.setattr(default, "_is_cached", lambda: False)


class Answering:
    def __init__(self, answers):
        self.answers = lambda: answers


@pytest.fixture
def save(tmp_path):
    """Saves an image of noise and returns its path."""
    count = iter(range(100))

    def make(width, height, mode):
        depth = (3,) if mode == "RGB" else ()
        values = np.random.default_rng(0).integers(0, 256, (height, width, *depth), dtype=np.uint8)
        path = tmp_path / f"{next(count)}.png"
        Image.fromarray(values).save(path)
        return path

    return make


def test_digits_are_seen_as_pixels_and_photographs_never(save):
    digits = [save(8, 8, "L"), save(28, 28, "L"), save(32, 32, "L")]
    assert default_encoder(digits) == "pixels"
    for photograph in (save(33, 20, "L"), save(32, 32, "RGB"), save(500, 400, "RGB")):
        assert default_encoder([photograph]) == "lite0"
        assert default_encoder([*digits, photograph]) == "lite0"


def test_grey_digits_saved_with_three_channels_are_digits(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (28, 28, 1), dtype=np.uint8)
    Image.fromarray(np.repeat(grey, 3, axis=2)).save(tmp_path / "a.png")
    assert tiny([tmp_path / "a.png"])


def test_files_that_cannot_be_read_say_nothing(save, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    broken = [tmp_path / "missing.png", tmp_path / "text.png"]
    assert tiny([*broken, save(8, 8, "L")])
    assert not tiny(broken) and not tiny([])


def test_the_first_files_alone_are_looked_at(save):
    digits = [save(8, 8, "L")] * default.LOOKED_AT
    assert default_encoder([*digits, save(100, 100, "RGB")]) == "pixels"


def test_dinov2_where_a_hub_answers_or_it_was_downloaded(save, monkeypatch):
    photographs = [save(100, 100, "RGB")]
    monkeypatch.setattr(default, "hub", Answering(True))
    assert default_encoder(photographs) == DINOV2
    assert default_encoder([save(8, 8, "L")]) == "pixels"
    monkeypatch.setattr(default, "hub", Answering(False))
    monkeypatch.setattr(default, "_is_cached", lambda: True)
    assert default_encoder(photographs) == DINOV2


def test_what_is_named_is_taken(save):
    assert resolve_encoder("pixels", [save(100, 100, "RGB")]) == "pixels"
    assert resolve_encoder("auto", [save(100, 100, "RGB")]) == "lite0"
    own = object()
    assert resolve_encoder(own, []) is own and resolve_encoder(None, []) is None


def test_a_downloaded_model_is_found(monkeypatch, tmp_path):
    import huggingface_hub.constants
    import huggingface_hub.file_download

    monkeypatch.undo()
    folder = tmp_path / "models--timm--vit_small_patch14_dinov2.lvd142m"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert not default._is_cached()
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    (folder / "snapshots" / "abc" / "model.safetensors").touch()
    assert default._is_cached()


# The hub, played by a server on this machine


@pytest.fixture
def server(monkeypatch):
    """Its list of requests; the hub's address is that of the server."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            """Tests say nothing."""

    found = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{found.server_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield asked
    found.shutdown()
    found.server_close()


def test_a_hub_is_asked_once_in_a_while(server, monkeypatch):
    hub = Hub()
    assert hub.answers() and hub.answers() and len(server) == 1
    hub._asked -= 601
    assert hub.answers() and len(server) == 2


def test_who_wants_no_network_is_not_asked_for_one(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not Hub().answers() and server == []


def test_no_hub_at_all(server, monkeypatch):
    for address in ("http://127.0.0.1:1", "file:///etc/hostname", "nonsense"):
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert not Hub().answers()


def test_a_hub_that_does_not_answer_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(default, "HUB_SECONDS", 0.05)
    free = threading.Event()
    monkeypatch.setattr(Hub, "_ask", lambda self: free.wait(30))
    start = time.monotonic()
    assert not Hub().answers()
    free.set()
    assert time.monotonic() - start < 10
