import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from elfs_plugin import devices
from elfs_plugin.devices import autocast, generator, matmul_dtype, one_thread, resolve_device, reuse_heap
from elfs_plugin.errors import InvalidInput

CPU = torch.device("cpu")
REPOSITORY = Path(__file__).resolve().parents[2]


def test_resolving_a_device():
    assert resolve_device("cpu") == CPU and resolve_device(CPU) == CPU
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(InvalidInput, match="'warp' cannot be used"):
        resolve_device("warp")


@pytest.mark.parametrize("quick", [True, False])
def test_bfloat16_where_the_hardware_has_it(monkeypatch, quick):
    monkeypatch.setattr(devices, "_quick_bfloat16", lambda device: quick)
    assert matmul_dtype(CPU) == (torch.bfloat16 if quick else torch.float32)
    with autocast(CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == matmul_dtype(CPU)


_IN_A_NEW_PROCESS = """
import json, psutil
from torch import device
from elfs_plugin.devices import matmul_dtype, reuse_heap
process = psutil.Process()
before = process.memory_info().rss
try:
    with reuse_heap(device("cpu")):
        blocks = [bytearray(8 << 20) for _ in range(64)]
        inside = process.memory_info().rss
        del blocks
        raise RuntimeError("stop")
except RuntimeError:
    returned = inside - process.memory_info().rss
found = {"grown": inside - before, "returned": returned, "dtype": str(matmul_dtype(device("cpu")))}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def new_process():
    """What a process without bfloat16 finds; its heap has no room that earlier tests have left."""
    done = subprocess.run(
        [sys.executable, "-c", _IN_A_NEW_PROCESS],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_bfloat16_can_be_masked_off(new_process):
    """By the variable with which the tests are run once more, as on a CPU without it."""
    assert new_process["dtype"] == "torch.float32"


def test_a_generator_leaves_the_global_one_alone():
    state = torch.get_rng_state()
    assert torch.equal(torch.rand(3, generator=generator(5)), torch.rand(3, generator=generator(5)))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def threads_elsewhere():
    with ThreadPoolExecutor(1) as other:
        return other.submit(torch.get_num_threads).result()


def test_one_thread_is_of_the_calling_thread_and_is_given_back(three_threads):
    with one_thread(CPU):
        assert (torch.get_num_threads(), threads_elsewhere()) == (1, 3)
        with one_thread(CPU):
            assert (torch.get_num_threads(), threads_elsewhere()) == (1, 3)
        torch.ones(9, 9) @ torch.ones(9, 9)
        assert torch.get_num_threads() == 1
    assert (torch.get_num_threads(), threads_elsewhere()) == (3, 3)


def test_one_thread_in_two_threads_that_overlap(three_threads):
    inside, leave = threading.Barrier(2), threading.Event()

    def other():
        with one_thread(CPU):
            inside.wait(10)
            assert leave.wait(10)
            return torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        with one_thread(CPU):
            found = pool.submit(other)
            inside.wait(10)
        assert (torch.get_num_threads(), threads_elsewhere()) == (3, 3)
        leave.set()
        assert found.result() == 1
    assert (torch.get_num_threads(), threads_elsewhere()) == (3, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap")
def test_reusing_the_heap_returns_it_also_after_an_error(new_process):
    assert new_process["grown"] > 100 << 20 and new_process["returned"] > 64 << 20


def test_reusing_the_heap_without_glibc(monkeypatch):
    monkeypatch.setattr(devices.sys, "platform", "darwin")
    with reuse_heap(CPU):
        assert torch.ones(2).sum() == 2
