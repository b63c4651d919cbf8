"""A GPU beside the CPU of the same machine limited to two threads, in a few minutes: speed and agreement.

    python -m benchmarks.gpu --minutes 8 [--folder FOLDER] [--images FOLDER] [--embeddings FILE]
    python -m benchmarks.gpu --device cpu --tiny

Needs neither FiftyOne nor a network. Images are those below ``--images`` (default: the folder that the variable CIFAR
names, if any), embeddings those of ``--embeddings``; what there is none of is drawn at random. Two processes measure
side by side, one on two cores, the other on the rest with the device; what they have not finished when the time is up
is left out. ``gpu.json`` and ``gpu.md`` are written to the folder.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIDES = ("cpu", "device")
START = 0.12
"""Share of the time that a process has for its start and its data before its parts divide the rest."""
CORES_FOR_BOTH = 4
"""With fewer cores the two processes measure one after the other."""
SPARE = 12.0
"""Seconds at the end for the report, which asks PyTorch for the name of the GPU."""


def main(arguments=None):
    options = command_line().parse_args(arguments)
    if options.side:
        measure(options)
        return None
    end = time.monotonic() + 60 * options.minutes
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        run_sides(options, Path(scratch), end - SPARE)
        found, arrays = zip(*(read_side(Path(scratch), side) for side in SIDES))
    results = collected(options, dict(zip(SIDES, found)), dict(zip(SIDES, arrays)))
    from .gpu_report import markdown

    for name, text in {"gpu.json": json.dumps(results, indent=1), "gpu.md": markdown(results)}.items():
        (options.folder / name).write_text(text)
    print(markdown(results))
    return results


def command_line():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="ends by itself within so many")
    parser.add_argument("--folder", type=Path, default=Path("gpu-results"))
    parser.add_argument("--device", default="auto", help="what is measured beside the CPU")
    parser.add_argument("--images", type=Path, default=os.environ.get("CIFAR"), help="a folder of image files")
    parser.add_argument("--embeddings", type=Path, help="(N, D) .npy")
    parser.add_argument("--parts", nargs="+", help="only these")
    parser.add_argument("--tiny", action="store_true", help="everything on a few samples: shows that it runs")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    return parser


def run_sides(options, scratch, end):
    """Both processes, together or one after the other; those that have not ended in time are ended."""
    together = (os.cpu_count() or 1) >= CORES_FOR_BOTH
    waiting, running = list(SIDES), {}
    while waiting or running:
        while waiting and (together or not running):
            side = waiting.pop(0)
            left = end - time.monotonic()
            minutes = left / 60 if together or not waiting else left / 120
            running[side] = (start_side(options, scratch, side, minutes), time.monotonic() + 60 * minutes)
        for side, (process, its_end) in list(running.items()):
            if process.poll() is not None:
                del running[side]
            elif time.monotonic() >= its_end:
                process.kill()
                process.wait()
                del running[side]
        time.sleep(0.05)


def start_side(options, scratch, side, minutes):
    given = ["--side", side, "--scratch", scratch, "--minutes", minutes, "--device", options.device]
    for name in ("images", "embeddings"):
        given += [f"--{name}", Path(getattr(options, name)).resolve()] if getattr(options, name) else []
    given += ["--tiny"] if options.tiny else []
    given += ["--parts", *options.parts] if options.parts else []
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    if side == "cpu":
        environment |= {name: "2" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
        environment["CUDA_VISIBLE_DEVICES"] = ""
    command = [sys.executable, "-m", "benchmarks.gpu", *map(str, given)]
    return subprocess.Popen(command, env=environment, stdout=sys.stderr, cwd=Path(__file__).resolve().parent.parent)


def measure(options):
    """One side: every part as far as the time goes, each written as soon as it is finished."""
    begun = time.monotonic()
    import torch

    from elfs_plugin.devices import resolve_device
    from elfs_plugin.text import first_line

    from . import gpu_parts

    if options.side == "cpu":
        gpu_parts.two_threads()
    elif hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) >= CORES_FOR_BOTH:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[2:])
    device = torch.device("cpu") if options.side == "cpu" else resolve_device(options.device)
    size = gpu_parts.Size.tiny() if options.tiny else gpu_parts.Size()
    data = gpu_parts.inputs(size, options.scratch / f"files-{options.side}", options.images, options.embeddings)
    end = begun + 60 * options.minutes
    names = [name for name in gpu_parts.PARTS if not options.parts or name in options.parts]
    for number, name in enumerate(names):
        shares = sum(gpu_parts.SHARES[later] for later in names[number:])
        # What a part does beside its measuring is not limited, hence less than its share.
        seconds = (1 - START) * max(0.0, end - time.monotonic()) * gpu_parts.SHARES[name] / shares / 2
        start = time.monotonic()
        try:
            numbers, arrays = gpu_parts.PARTS[name](data, size, device, seconds)
        except Exception as error:  # a part that fails is told of and costs no other
            numbers, arrays = {"error": first_line(error)}, {}
        numbers["took"] = time.monotonic() - start
        print(f"{options.side}: {name}: {numbers}", flush=True)
        write_part(options.scratch, options.side, name, numbers, arrays)


def write_part(scratch, side, name, numbers, arrays):
    np.savez(scratch / f"{side}-{name}.npz", **arrays)
    file = scratch / f"{side}-{name}.json"
    file.with_suffix(".partial").write_text(json.dumps(numbers))
    os.replace(file.with_suffix(".partial"), file)


def read_side(scratch, side):
    """({part: numbers}, {part: arrays}) of one side."""
    found, arrays = {}, {}
    for file in sorted(scratch.glob(f"{side}-*.json")):
        name = file.stem.removeprefix(f"{side}-")
        found[name] = json.loads(file.read_text())
        with np.load(file.with_suffix(".npz")) as kept:
            arrays[name] = dict(kept)
    return found, arrays


def collected(options, found, arrays):
    from elfs_plugin.devices import resolve_device

    from . import gpu_parts
    from .common import machine
    from .gpu_report import compared

    size = gpu_parts.Size.tiny() if options.tiny else gpu_parts.Size()
    wanted = options.parts or list(gpu_parts.PARTS)
    return {
        "machine": machine(),
        "device": str(resolve_device(options.device)),
        "minutes": options.minutes,
        "data": (
            f"{size.samples:,} {'given' if options.embeddings else 'synthetic'} embeddings, "
            f"{'given' if options.images else 'synthetic'} images"
        ),
        "parts": compared(found, arrays),
        "missing": [f"{part} ({side})" for side in SIDES for part in wanted if part not in found[side]],
    }


if __name__ == "__main__":
    main()
