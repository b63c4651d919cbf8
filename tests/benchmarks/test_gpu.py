import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import gpu, gpu_parts, gpu_report
from benchmarks.gpu_parts import Pace, Size
from elfs_plugin.encoders.jpeg_on_device import JpegDecoder
from elfs_plugin.encoders.preprocessing import recognised
from elfs_plugin.errors import Cancelled

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Both sides on a few samples, in this process."""
    scratch = tmp_path_factory.mktemp("scratch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_parts, "two_threads", lambda: None)
        patch.setattr(os, "sched_setaffinity", lambda *given: None, raising=False)
        options = ["--tiny", "--device", "cpu", "--minutes", "0.1", "--scratch", str(scratch)]
        for side in gpu.SIDES:
            gpu.measure(gpu.command_line().parse_args([*options, "--side", side]))
        found, arrays = zip(*(gpu.read_side(scratch, side) for side in gpu.SIDES))
        patch.setattr("benchmarks.common.machine", lambda: "a machine")
        parsed = gpu.command_line().parse_args(options)
        return gpu.collected(parsed, dict(zip(gpu.SIDES, found)), dict(zip(gpu.SIDES, arrays)))


@pytest.mark.parametrize("part", gpu_parts.PARTS)
def test_every_part_is_measured_on_both_sides(measured, part):
    row = measured["parts"][part]
    assert "error" not in row["cpu"] and "error" not in row["device"]
    assert row["times"] > 0 and row["cpu"]["seconds"] > 0


def test_a_cpu_agrees_with_itself(measured):
    for part in ("neighbors", "k_means", "published_clustering", "decoding", "embedding"):
        assert measured["parts"][part]["agreement"] == pytest.approx(1, abs=1e-6) and measured["parts"][part]["agrees"]
    assert all(row.get("agrees", True) for row in measured["parts"].values())


def test_a_device_that_decodes_gives_the_same_pixels_in_order(tmp_path):
    size = gpu_parts.Size(files=70, network="test_resnet")
    files = gpu_parts.jpeg_files(size, tmp_path, [])
    Image.open(files[3]).save(files[3], progressive=True)  # not for the device
    preprocessing, cpu = recognised(gpu_parts.timm_transform(size)), torch.device("cpu")
    ways = (gpu_parts.decoded_in_threads, gpu_parts.decoded_by_device)
    plain, other = (torch.cat(list(way(files, preprocessing, cpu))).flatten(1) for way in ways)
    assert len(plain) == 70 and torch.nn.functional.cosine_similarity(plain, other).min() > 0.999


def test_whether_a_gpu_decodes_can_be_chosen():
    with gpu_parts._decoding_chosen(True):
        assert JpegDecoder.agrees(None, [], None, None) is True
    with gpu_parts._decoding_chosen(None):
        assert JpegDecoder(None, None, None).agrees([], None, None) is False


def test_the_report_has_a_row_for_every_part(measured):
    text = gpu_report.markdown(measured)
    assert all(name in text for name, _, _ in gpu_report.ROWS.values())
    assert "Not measured" not in text and "do not agree" not in text and measured["missing"] == []
    assert set(gpu_report.ROWS) == set(gpu_parts.PARTS) == set(gpu_parts.SHARES) == set(gpu_report.LEAST)
    json.dumps(measured)


def test_devices_that_disagree_and_parts_that_fail_are_told():
    indices = {"indices": np.zeros((4, 2)), "similarities": np.zeros((4, 2))}
    found = {
        "cpu": {"neighbors": {"seconds": 4.0}, "k_means": {"seconds": 1.0}},
        "device": {"neighbors": {"seconds": 0.5}, "k_means": {"error": "CUDA error: launch failure"}},
    }
    arrays = {"cpu": {"neighbors": indices}, "device": {"neighbors": {"indices": np.ones((4, 2))}}}
    rows = gpu_report.compared(found, arrays)
    assert rows["neighbors"]["times"] == 8 and rows["neighbors"]["agreement"] == 0
    text = gpu_report.markdown(
        {"machine": "m", "device": "cuda", "data": "d", "parts": rows, "missing": ["embedding (cpu)"]}
    )
    assert "do not agree as expected**: neighbours, exact." in text
    assert "CUDA error: launch failure" in text and "Not measured: embedding (cpu)." in text


def test_a_part_that_fails_costs_no_other(tmp_path, monkeypatch):
    def fails(*given):
        raise RuntimeError("CUDA error: unspecified launch failure\nmore")

    monkeypatch.setitem(gpu_parts.PARTS, "neighbors", fails)
    arguments = ["--tiny", "--device", "cpu", "--side", "device", "--scratch", str(tmp_path)]
    gpu.measure(gpu.command_line().parse_args([*arguments, "--parts", "neighbors", "k_means"]))
    found, _ = gpu.read_side(tmp_path, "device")
    assert found["neighbors"]["error"] == "CUDA error: unspecified launch failure"
    assert found["k_means"]["seconds"] > 0


def test_a_pace_projects_what_is_left_out(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(gpu_parts.time, "monotonic", lambda: now[0])
    pace = Pace(100)
    for at, fraction in ((10, 0.1), (12, 0.2), (14, 0.3)):
        now[0] = at
        pace(fraction)
    assert pace.settled() == pytest.approx(20) and pace.whole() == pytest.approx(14 / 0.3)
    now[0] = 101
    with pytest.raises(Cancelled):
        pace(0.4)
    with pace.until_then():
        pace(0.5)
    assert pace.fraction == 0.5


def test_processes_that_do_not_end_are_ended(tmp_path, monkeypatch):
    started = []

    def sleeps(options, scratch, side, minutes):
        started.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
        return started[-1]

    monkeypatch.setattr(gpu, "start_side", sleeps)
    for cores in (1, 16):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        begun = time.monotonic()
        gpu.run_sides(gpu.command_line().parse_args([]), tmp_path, begun + 1)
        assert time.monotonic() - begun < 20
    assert len(started) == 4 and all(process.poll() is not None for process in started)


def test_given_images_and_embeddings_are_taken(tmp_path):
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / name / f"{number}.png")
    np.save(tmp_path / "vectors.npy", np.arange(12.0).reshape(6, 2))
    data = gpu_parts.inputs(Size.tiny(), tmp_path / "files", tmp_path, tmp_path / "vectors.npy")
    assert data.vectors.shape == (6, 2) and data.images.shape == (6, 3, 8, 8)
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1] and len(data.files) == 6


def test_the_command_writes_one_json_and_one_markdown_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--tiny", "--minutes", "2"]
        + ["--folder", str(tmp_path), "--parts", "neighbors", "k_means"],
        cwd=gpu.Path(gpu.__file__).resolve().parent.parent,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu.json", "gpu.md"]
    results = json.loads((tmp_path / "gpu.json").read_text())
    assert results["parts"]["neighbors"]["agreement"] == 1 and results["missing"] == []
    assert (tmp_path / "gpu.md").read_text().startswith("# A GPU beside two threads")
