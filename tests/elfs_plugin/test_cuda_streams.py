import contextlib

import pytest
import torch

from elfs_plugin import cuda_streams
from elfs_plugin.cuda_streams import give_back, own_stream, take

GPU = torch.device("cuda")


class Stream:
    made = 0

    def __init__(self, device):
        Stream.made += 1
        self.done = []

    def wait_stream(self, other):
        self.done.append("waited")

    def synchronize(self):
        self.done.append("finished")


@pytest.fixture(autouse=True)
def played(monkeypatch):
    monkeypatch.setattr(cuda_streams, "_free", {})
    monkeypatch.setattr(Stream, "made", 0)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)


def test_two_at_once_are_different_and_one_given_back_is_used_again():
    one, other = take(GPU), take(GPU)
    assert one is not other
    give_back(GPU, one)
    assert take(GPU) is one and Stream.made == 2


def test_a_thread_has_its_stream_until_its_work_is_done():
    with own_stream(GPU):
        (kept,) = [take(GPU)]
    assert Stream.made == 2 and kept.done == []
    assert take(GPU).done == ["waited", "finished"]
    with pytest.raises(ValueError), own_stream(GPU):
        raise ValueError
    assert Stream.made == 3 and len(cuda_streams._free[GPU]) == 1


def test_a_cpu_has_no_streams():
    with own_stream(torch.device("cpu")):
        pass
    assert Stream.made == 0
