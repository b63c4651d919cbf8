"""What ``benchmarks.paper`` has finished, small enough to be carried to another machine and continued there.

Kept is all of its folder but trainings in progress and what is made again in seconds or read from the images: decoded
images and neighbours. The pieces are parts of one tar file of xz files, so ``cat kept-*.part | tar x`` opens them too.
"""

import hashlib
import io
import json
import lzma
import os
import tarfile
from pathlib import Path

PIECE_BYTES = 15_000_000
ALL_BYTES = 60_000_000
LIST = "kept.json"
"""Names and checksums of the pieces; written last."""

MADE_AGAIN = {"train.npy", "train.json", "test.npy", "test.json", "neighbors.npz"}
SEARCH = "beta.training"
"""The accuracies of a β search so far, which are finished trainings; those in progress have a longer name."""

_HEADER = 1536  # of a file in a tar file, its padding included, and of the end


def worth_keeping(folder, apart=()):
    """Paths below ``folder``, relative to it, of what is to be kept; not those in the folders ``apart``."""
    found = []
    for path in sorted(folder.rglob("*")):
        inside = [path.resolve().is_relative_to(Path(other).resolve()) for other in apart]
        if path.is_file() and not any(inside) and _finished(path.name):
            found.append(path.relative_to(folder))
    return found


def _finished(name):
    if name in MADE_AGAIN or name.endswith(".partial") or name.startswith("."):
        return False
    return name == SEARCH or ".training" not in name


def pack(folder, to, apart=()):
    """Writes the pieces into the folder ``to`` and removes older ones.

    Returns:
        (paths of the pieces, names of files that did not fit): the smallest files come first
    """
    folder, to = Path(folder), Path(to)
    to.mkdir(parents=True, exist_ok=True)
    packed = [(name, lzma.compress((folder / name).read_bytes(), preset=0)) for name in worth_keeping(folder, apart)]
    content, left_out, total = io.BytesIO(), [], 2 * _HEADER
    with tarfile.open(fileobj=content, mode="w", bufsize=512) as tar:
        for name, data in sorted(packed, key=lambda pair: (len(pair[1]), str(pair[0]))):
            total += len(data) + _HEADER
            if total > ALL_BYTES - tarfile.RECORDSIZE:
                left_out.append(str(name))
                continue
            entry = tarfile.TarInfo(f"{name.as_posix()}.xz")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return _write(to, content.getvalue()), left_out


def _write(to, content):
    digest = hashlib.sha256(content).hexdigest()
    before = {path for path in to.glob("kept-*.part")}
    pieces = {}
    for number, start in enumerate(range(0, len(content), PIECE_BYTES)):
        piece = content[start : start + PIECE_BYTES]
        path = to / f"kept-{digest[:8]}-{number:02}.part"
        path.write_bytes(piece)
        pieces[path.name] = hashlib.sha256(piece).hexdigest()
    partial = to / f"{LIST}.partial"
    partial.write_text(json.dumps(pieces, indent=1))
    os.replace(partial, to / LIST)
    for old in before:
        if old.name not in pieces:
            old.unlink()
    return [to / name for name in pieces]


def unpack(pieces, folder):
    """Puts what was kept in the folder ``pieces`` into ``folder``, as far as it is not there already.

    Returns:
        names of the files that were made; none where nothing was kept
    """
    pieces, folder = Path(pieces), Path(folder)
    if not (pieces / LIST).is_file():
        return []
    content = b""
    for name, checksum in json.loads((pieces / LIST).read_text()).items():
        path = pieces / name
        piece = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(piece).hexdigest() != checksum:
            raise SystemExit(f"{path} is missing or damaged. Copy all pieces and {LIST} again.")
        content += piece
    made = []
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for entry in tar:
            name = entry.name.removesuffix(".xz")
            target = folder / name
            if not target.resolve().is_relative_to(folder.resolve()):
                raise SystemExit(f"{pieces} holds {name}, which is outside of its folder.")
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f"{target.name}.partial")
            partial.write_bytes(lzma.decompress(tar.extractfile(entry).read()))
            os.replace(partial, target)
            made.append(name)
    return made
