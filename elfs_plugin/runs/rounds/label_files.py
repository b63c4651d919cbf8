"""Labels that annotators have filled into a list or a COCO file, read so that nothing is guessed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...csv_cells import plain_text
from ...errors import InvalidInput
from ..export_copies import unreadable
from .file_batches import IMAGES

FIELD = "labels"
_FILE_COLUMNS = ("file", "filepath")
_ID = re.compile("[0-9a-f]{24}")


class Known:
    """Which samples a row is about, by their id or by a file's name.

    Args:
        paths: {sample id: path of its file, or None where that is not known any more} of the part
        copies: {sample id: the name of its copy below the folder that was sent}, where there are copies
        folder: that folder
    """

    def __init__(
        self, paths: Mapping[str, str | None], copies: Mapping[str, str] | None = None, folder: str | None = None
    ) -> None:
        self._ids = set(paths)
        self._files: dict[str, dict[str, None]] = {}
        self._bases: dict[str, set[str]] = {}
        for i, path in paths.items():
            if path is not None:
                self._know(path, i)
                self._bases.setdefault(os.path.basename(path), set()).add(os.path.normpath(path))
        for i, name in (copies or {}).items():
            if i in self._ids:
                self._know(name, i)
                self._know(_below_images(name), i)
                self._know(os.path.join(folder or "", name), i)

    def _know(self, name, i):
        self._files.setdefault(os.path.normpath(name), {})[i] = None

    def by_id(self, i: str) -> list[str]:
        return [i] if i in self._ids else []

    def by_file(self, name: str) -> list[str]:
        """The samples that have a file: none, one, or several that share it.

        Raises:
            InvalidInput: for the bare name of several files
        """
        for place in (os.path.normpath(name), os.path.normpath(name.replace("\\", "/"))):
            if place in self._files:
                return list(self._files[place])
        paths = self._bases.get(name, set())
        if len(paths) > 1:
            raise _wrong(
                f"{name} is the name of {len(paths)} different images ({', '.join(sorted(paths)[:2])}). Say which one: "
                "by its id, or by its whole path."
            )
        return [i for path in paths for i in self._files[path]]

    def by_row(self, i: str, name: str) -> list[str]:
        """By the id, and by the file where there is none: spreadsheets make numbers of some ids."""
        found = self.by_id(i)
        return found if found or not name or _ID.fullmatch(i) else self.by_file(name)


def read_labels(path: Path, known: Known) -> list[tuple[list[str], str]]:
    """(samples, what is said of them) for each label of a filled list (CSV) or COCO file (JSON), in its order: no
    samples where a label is of none that is ``known``, several where they share a file.

    A list has a column ``label``, and ``id``, ``file`` or ``filepath``; other columns, suggestions among them, are
    never labels. Rows without a label are waiting.

    Raises:
        InvalidInput: with the field ``"labels"``, when the file is not there or is not what it should be
    """
    reason = unreadable(path)
    if reason:
        raise _wrong(f"{path} cannot be read: {reason}. Give the path of the file with the labels.")
    return list((_read_coco if path.suffix.lower() == ".json" else _read_list)(path, known))


def read_manifest(path: Path) -> dict[str, str]:
    """{sample id: file} of a manifest; empty where there is none that can be read."""
    try:
        if unreadable(path):
            return {}
        rows = [row for line, row in _rows(path) if line > 1]
    except InvalidInput:
        return {}
    return {row["id"]: row["file"] for row in rows if row.get("id") and row.get("file")}


def _read_list(path, known):
    rows = iter(_rows(path))
    _, header = next(rows)
    by_id = "id" in header
    file = next((column for column in _FILE_COLUMNS if column in header), None)
    if "label" not in header or not (by_id or file):
        lacking = "label" if "label" not in header else "id, nor one named file"
        raise _wrong(
            f"{path} has no column named {lacking} (columns: {', '.join(header)}). Its first row must name the columns "
            "as in the list that was sent."
        )
    for number, row in rows:
        word = row["label"].strip()
        if not word:
            continue
        name = row["id"].strip() if by_id else ""
        _check_text(path, number, word + name)
        yield known.by_row(name, row[file] if file else ""), word


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The header of a CSV file as {name: name}, then its rows as {name: cell}, each with its line."""
    # Paths may be no text at all; where text is asked for, _check_text looks.
    text = path.read_bytes().decode("utf-8-sig", errors="surrogateescape")
    if "\0" in text:
        raise _wrong(f"{path} is no CSV file in UTF-8: it has NUL characters in it. Save it as 'CSV UTF-8'.")
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        header = [name.strip().casefold() for name in next(reader, [])]
        if not any(header):
            raise _wrong(f"{path} is empty: its first row must name the columns.")
        twice = next((name for name in header if name and header.count(name) > 1), None)
        if twice:
            raise _wrong(f"{path} has two columns named {twice}. Keep one.")
        yield 1, dict(zip(header, header))
        for row in reader:
            if any(row[len(header) :]):
                raise _wrong(
                    f"{path}, line {reader.line_num}: more values than columns. Put text with a comma in quotes."
                )
            cells = [plain_text(cell) for cell in row] + [""] * (len(header) - len(row))
            yield reader.line_num, dict(zip(header, cells))
    except csv.Error as error:
        raise _wrong(f"{path}, line {reader.line_num}: not a CSV file ({error}). Save it as CSV again.") from None


def _check_text(path, number, text):
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _wrong(f"{path}, line {number}: not in UTF-8. Save it as 'CSV UTF-8' and try again.")


def _read_coco(path, known):
    content = _json(path)
    categories = {_key(c, "id", path, "categories"): c.get("name") for c in _list(content, "categories", path)}
    images = {_key(c, "id", path, "images"): c for c in _list(content, "images", path)}
    for annotation in _list(content, "annotations", path):
        name = categories.get(_key(annotation, "category_id", path, "annotations"))
        if not isinstance(name, str) or not name.strip():
            raise _wrong(
                f"{path}: an annotation has the category {annotation['category_id']}, which 'categories' does not name."
            )
        image = images.get(_key(annotation, "image_id", path, "annotations"))
        yield _samples_of(image, known) if image else [], name.strip()


def _samples_of(image, known):
    """Tools drop what they do not know, our id among it; the name of the file they keep."""
    own, name = image.get("sample_id"), image.get("file_name")
    if isinstance(own, str):
        return known.by_id(own)
    return known.by_file(name) if isinstance(name, str) and name else []


def _json(path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise _wrong(f"{path} is not in UTF-8. Export it again as COCO (JSON).") from None
    except (ValueError, RecursionError) as error:
        raise _wrong(f"{path} is no JSON file ({error}). Export it again as COCO (JSON).") from None
    if not isinstance(content, dict):
        raise _wrong(f"{path} is no COCO file: it must hold images, annotations and categories.")
    return content


def _list(content, name, path):
    found = content.get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise _wrong(f"{path} is no COCO file with labels: it has no list of '{name}'.")
    return found


def _key(one, name, path, where):
    value = one.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise _wrong(f"{path} is no whole COCO file: one of the '{where}' has no '{name}'.")
    return value


def _below_images(name):
    return name.removeprefix(f"{IMAGES}/")


def _wrong(sentence):
    return InvalidInput(sentence, FIELD)
