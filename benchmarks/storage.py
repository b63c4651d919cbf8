"""How vectors are best kept where every stage reads them in blocks: a memory map, Parquet or Lance, float32 or float16.

    python -m benchmarks.storage [--rows 1000000] [--dimensions 128] [--folder FOLDER]

Each form is written once and then read: all of it in order in blocks of 65,536 rows, and 512 rows at a time drawn at
random, as trainings take their batches. What a form gives is made a float32 array, as the stages compute with it.
Before each reading the file is dropped from the cache of the system, where Linux allows it; ``warm`` is without that.
Parquet and Lance need ``pip install pyarrow lancedb``.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

from .common import timed
from .manifold import manifold
from .results import Column, Table, started

BLOCK = 65_536
BATCH, BATCHES = 512, 20


class Mapped:
    """A ``.npy`` file, mapped into memory."""

    def __init__(self, file, vectors, dtype):
        np.save(file, vectors.astype(dtype))
        self.file = Path(f"{file}.npy") if not str(file).endswith(".npy") else Path(file)

    def open(self):
        self._array = np.load(self.file, mmap_mode="r")

    def block(self, start, stop):
        return np.array(self._array[start:stop], dtype=np.float32)

    def rows(self, rows):
        return self._array[rows].astype(np.float32)


class Parquet:
    """A column of lists of a fixed length, in row groups of one block."""

    def __init__(self, file, vectors, dtype):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.file = Path(file)
        self._width = vectors.shape[1]
        pq.write_table(
            pa.table({"vector": _lists(vectors, dtype)}), self.file, row_group_size=BLOCK, compression="none"
        )

    def open(self):
        import pyarrow.parquet as pq

        self._found = pq.ParquetFile(self.file, memory_map=True)

    def block(self, start, stop):
        return _matrix(self._found.read_row_group(start // BLOCK), self._width)

    def rows(self, rows):
        found = np.empty((len(rows), self._width), dtype=np.float32)
        for group in np.unique(rows // BLOCK).tolist():
            inside = rows // BLOCK == group
            found[inside] = self.block(group * BLOCK, None)[rows[inside] - group * BLOCK]
        return found


class Lance:
    """A table of LanceDB."""

    def __init__(self, file, vectors, dtype):
        import lancedb
        import pyarrow as pa

        self.file = Path(file)
        self._width = vectors.shape[1]
        table = pa.table({"row": np.arange(len(vectors)), "vector": _lists(vectors, dtype)})
        lancedb.connect(self.file).create_table("vectors", table)

    def open(self):
        import lancedb

        self._table = lancedb.connect(self.file).open_table("vectors")

    def block(self, start, stop):
        return _matrix(
            self._table.search().offset(start).limit(stop - start).select(["vector"]).to_arrow(), self._width
        )

    def rows(self, rows):
        found = self._table.take_offsets(rows.tolist()).select(["row", "vector"]).to_arrow()
        order = np.argsort(found["row"].to_numpy())
        return _matrix(found, self._width)[order][np.argsort(np.argsort(rows))]


def _lists(vectors, dtype):
    import pyarrow as pa

    values = pa.array(np.ascontiguousarray(vectors.astype(dtype)).ravel())
    return pa.FixedSizeListArray.from_arrays(values, vectors.shape[1])


def _matrix(table, width):
    column = table["vector"].combine_chunks()
    column = column.chunk(0) if hasattr(column, "chunk") else column
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width).astype(np.float32)


FORMS = {"memory map (.npy)": (Mapped, "npy"), "Parquet": (Parquet, "parquet"), "Lance": (Lance, "lance")}
TYPES = ("float32", "float16")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--folder", help="on the disk that is to be measured (a new temporary one)")
    options, recording = started("storage", parser, arguments)
    vectors = manifold(options.rows, options.dimensions).vectors
    table = Table(
        [
            "form",
            Column("GB", 2),
            Column("written, CPU s", 2),
            Column("in order: s", 2),
            Column("CPU s", 2),
            Column("warm: CPU s", 2),
            Column("batches: s", 2),
            Column("batches: CPU s", 2),
            Column("largest difference", 5),
        ]
    )
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name, (form, ending) in FORMS.items():
            for dtype in TYPES:
                kept, _, writing = timed(form, Path(folder, f"{dtype}.{ending}"), vectors, dtype)
                print(table.add(f"{name}, {dtype}", *measured(kept, vectors, writing)), flush=True)
    recording.finish({"forms": table})


def measured(kept, vectors, writing):
    """The cells of a form."""
    n = len(vectors)
    drop_from_cache(kept.file)
    kept.open()
    difference, seconds, cold = timed(read_all, kept, vectors)
    _, _, warm = timed(read_all, kept, vectors)
    drop_from_cache(kept.file)
    kept.open()
    rng = np.random.default_rng(0)
    batches = [np.sort(rng.choice(n, BATCH, replace=False)) for _ in range(BATCHES)]
    _, batch_seconds, batch_processors = timed(read_batches, kept, batches, vectors)
    return size(kept.file) / 1e9, writing, seconds, cold, warm, batch_seconds, batch_processors, difference


def read_all(kept, vectors):
    """Reads all blocks; the largest difference of some rows of each from what was written."""
    worst = 0.0
    for start in range(0, len(vectors), BLOCK):
        stop = min(start + BLOCK, len(vectors))
        block = kept.block(start, stop)
        worst = max(worst, float(np.abs(block[:100] - vectors[start : start + 100]).max()))
    return worst


def read_batches(kept, batches, vectors):
    for rows in batches:
        found = kept.rows(rows)
        if np.abs(found - vectors[rows]).max() > 0.01:
            raise ValueError("What was read is not what was written.")


def files_of(path):
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def size(path):
    return sum(file.stat().st_size for file in files_of(path))


def drop_from_cache(path):
    """Has Linux forget what it keeps of these files in memory."""
    if not hasattr(os, "posix_fadvise"):
        return
    for file in files_of(path):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
