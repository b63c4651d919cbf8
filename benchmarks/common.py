"""What every benchmark shares: the machine's description, data, times, calls in a process of their own."""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Data:
    """(N, D) float32 ``vectors`` and, for audits only, (N,) int ``truth``."""

    name: str
    vectors: np.ndarray
    truth: np.ndarray | None


def machine():
    """One line: processor, cores, memory, GPU and the versions that matter."""
    import faiss
    import torch

    cpu = next(
        (line.split(":")[1].strip() for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    bf16 = "bfloat16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "no bfloat16"
    return (
        f"{os.cpu_count()} cores ({cpu}, {bf16}), {memory:.0f} GB, {gpu}; Python {platform.python_version()}, "
        f"PyTorch {torch.__version__}, faiss {faiss.__version__}, NumPy {np.__version__}"
    )


def _read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def digits():
    """scikit-learn's 1,797 handwritten digits as the ``pixels`` encoder sees them (8 x 8 x 3)."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.repeat(data.images[..., None], 3, axis=3) / 16
    return Data("digits", images.reshape(len(images), -1).astype(np.float32), data.target.astype(np.int64))


def from_file(path, labels=None):
    """Embeddings from an (N, D) ``.npy`` file; ``labels`` is an (N,) ``.npy`` file, or ``per-class:C`` when the rows
    are C equally large classes one after the other."""
    vectors = np.load(path).astype(np.float32)
    truth = None
    if labels and labels.startswith("per-class:"):
        classes = int(labels.split(":", 1)[1])
        truth = np.arange(len(vectors)) * classes // len(vectors)
    elif labels:
        truth = np.load(labels).astype(np.int64)
    return Data(Path(path).stem, vectors, truth)


def synthetic(samples, dimensions, clusters=10, seed=0, spread=1.5, imbalance=1.0):
    """Gaussian clusters whose centres overlap a little; float32, made in blocks.

    ``spread`` is their standard deviation, that of the centres being 1; ``imbalance`` how many times larger the largest
    one is than the smallest, the others between them in a geometric row.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dimensions)).astype(np.float32)
    if imbalance == 1:
        truth = rng.integers(clusters, size=samples)
    else:
        shares = imbalance ** -np.linspace(0, 1, clusters)
        truth = rng.choice(clusters, size=samples, p=shares / shares.sum())
    vectors = np.empty((samples, dimensions), dtype=np.float32)
    for start in range(0, samples, 65536):
        block = truth[start : start + 65536]
        noise = rng.standard_normal((len(block), dimensions), dtype=np.float32)
        vectors[start : start + 65536] = centres[block] + spread * noise
    return Data(f"synthetic {samples:,} x {dimensions}", vectors, truth)


def add_data_options(parser):
    """``--embeddings FILE --labels FILE`` as every benchmark takes them; :func:`chosen_data` reads them."""
    parser.add_argument("--embeddings", help="(N, D) .npy file; without it: digits")
    parser.add_argument("--labels", help="(N,) .npy file, or per-class:C for C equal classes in order (audits only)")


def chosen_data(options):
    return from_file(options.embeddings, options.labels) if options.embeddings else digits()


def audited_data(options, parser):
    """:func:`chosen_data`, which must have true labels; without them the program ends."""
    data = chosen_data(options)
    if data.truth is None:
        parser.error("the audit needs true labels: --labels FILE or per-class:C")
    return data


def shape(vectors):
    """``50,000 x 384``."""
    return f"{len(vectors):,} x {vectors.shape[1]}"


def timed(call, *arguments, **options):
    """What it returns, the seconds that passed, and those of the processors, all cores together."""
    start, worked = time.perf_counter(), time.process_time()
    result = call(*arguments, **options)
    return result, time.perf_counter() - start, time.process_time() - worked


def peak_gigabytes():
    """Highest resident memory of this process so far, in 10^9 bytes."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e9


def in_own_process(module, *arguments):
    """Runs ``python -m module arguments`` and returns the JSON object it prints last: its peak memory is its own."""
    done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{module} {' '.join(map(str, arguments))} failed with exit code {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])
