import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from elfs_plugin.cli.signals import Stopped, raised

ROOT = Path(__file__).resolve().parents[3]

WAITS = """
import sys, time
from elfs_plugin.cli.signals import raised

def wait(seconds):  # in short sleeps: a signal just before a long one would be heard of after it
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)

try:
    with raised():
        try:
            print("ready", flush=True)
            wait(60)
        finally:
            print("cleaning", flush=True)
            wait(float(sys.argv[1]))
except KeyboardInterrupt as stop:
    print("clean", flush=True)
    sys.exit(stop.code)
"""


def started(seconds):
    process = subprocess.Popen([sys.executable, "-c", WAITS, str(seconds)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_first_signal_cleans_up(number, code):
    process = started(0)
    process.send_signal(number)
    assert process.communicate(timeout=30)[0] == "cleaning\nclean\n" and process.returncode == code


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_at_once(second):
    process = started(60)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "cleaning\n"
    begin = time.monotonic()
    process.send_signal(second)
    assert process.communicate(timeout=30)[0] == "" and process.returncode == 128 + second
    assert time.monotonic() - begin < 20


def test_handlers_are_put_back_and_ignored_signals_stay_ignored():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped), raised():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) is before
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raised():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_in_another_thread_the_block_is_as_it_is():
    done = []

    def work():
        with raised():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
