import builtins
import os
import subprocess
import sys
import time

import psutil
import pytest

from elfs_plugin import owner


@pytest.fixture(params=["this system", "any system"])
def system(request, monkeypatch):
    if request.param == "any system":
        monkeypatch.setattr(owner, "_LINUX", False)


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def of(process):
    started, ended = owner._look(process.pid)
    assert not ended
    return {**owner.this_process(), "pid": process.pid, "started": started}


def test_a_process_that_is_at_work_lives(system, child):
    assert not owner.is_dead(owner.this_process())
    assert owner.is_running(os.getpid())
    assert not owner.is_dead(of(child))


def test_a_stopped_process_lives(system, child):
    described = of(child)
    psutil.Process(child.pid).suspend()
    assert not owner.is_dead(described)


def test_a_process_that_has_ended_is_dead(system, child):
    described = of(child)
    child.kill()
    child.wait()
    assert owner.is_dead(described) and not owner.is_running(child.pid)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no processes that wait for their parent")
def test_a_killed_process_that_waits_for_its_parent_is_dead(system, child):
    described = of(child)
    child.kill()  # and nobody waits for it
    deadline = time.monotonic() + 30
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.01)
    assert psutil.pid_exists(child.pid)
    assert owner.is_dead(described) and not owner.is_running(child.pid)


def test_a_process_id_that_was_given_again_is_another_process(system, child):
    described = of(child)
    assert owner.is_dead({**described, "started": described["started"] - 10})


@pytest.mark.parametrize("name", ["host", "boot", "namespace"])
def test_elsewhere_a_process_id_says_nothing(system, child, name):
    described = of(child)
    child.kill()
    child.wait()
    assert not owner.is_dead({**described, name: "another"})
    del described[name]
    assert not owner.is_dead(described)


@pytest.mark.parametrize("name", ["_boot", "_namespace"])
def test_where_the_system_does_not_tell_nothing_is_judged(child, monkeypatch, name):
    monkeypatch.setattr(owner, name, lambda: None)
    described = of(child)
    child.kill()
    child.wait()
    assert not owner.is_dead(described)


@pytest.mark.skipif(not owner._LINUX, reason="/proc is Linux's")
def test_a_proc_of_another_namespace_is_not_asked(monkeypatch):
    assert owner._namespace().startswith("pid:[")
    real = os.readlink
    monkeypatch.setattr(os, "readlink", lambda path: "1" if path == "/proc/self" else real(path))
    assert owner._namespace() is None


@pytest.mark.skipif(not owner._LINUX, reason="/proc is Linux's")
def test_a_process_that_proc_hides_lives(child, monkeypatch):
    described, real = of(child), builtins.open

    def hiding(path, *args, **options):
        if path == f"/proc/{child.pid}/stat":
            raise FileNotFoundError(path)
        return real(path, *args, **options)

    monkeypatch.setattr(builtins, "open", hiding)
    assert not owner.is_dead(described)
    child.kill()
    child.wait()
    assert owner.is_dead(described)
