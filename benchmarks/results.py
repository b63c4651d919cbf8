"""Results of benchmarks as data: ``--save`` keeps one as ``benchmarks/results/<benchmark>[-<data>].json``.

Such a file says what was run, at which commit, when and where, and holds the tables as numbers with the digits that
count. ``python -m benchmarks.tables`` puts them into the documents.
"""

import datetime
import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from .common import machine

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Column:
    """``digits`` after the point are kept of its numbers (None: as they come); ``signed`` shows a plus as well."""

    title: str
    digits: int | None = 1
    signed: bool = False


def percent(title, digits=1, signed=False):
    """A column of shares in percent, which rows give in [0, 1] by :func:`mean_sd` or times 100."""
    return Column(f"{title}, %", digits, signed)


@dataclass
class Table:
    """``columns``: :class:`Column`, or a title alone. Rows of cells: text, a number, None, a list of numbers, or a dict
    of numbers (:func:`mean_sd`, a median with the worst)."""

    columns: list
    rows: list = field(default_factory=list)

    def __post_init__(self):
        self.columns = [Column(column) if isinstance(column, str) else column for column in self.columns]

    def add(self, *cells):
        """Appends a row, rounded to what the columns keep, and returns it as a line of Markdown."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns: {cells}")
        self.rows.append([_rounded(cell, column.digits) for cell, column in zip(cells, self.columns)])
        return self.line(self.rows[-1])

    def line(self, row):
        return "| " + " | ".join(cell_text(cell, column) for cell, column in zip(row, self.columns)) + " |"

    def head(self):
        titles = " | ".join(column.title for column in self.columns)
        return f"| {titles} |\n|{'---|' * len(self.columns)}"

    def markdown(self):
        return "\n".join([self.head(), *map(self.line, self.rows)])


def mean_sd(values, scale=100):
    """Mean and standard deviation of (repeats,) values as a cell, in percent by default; None for no values."""
    values = np.asarray(values, dtype=np.float64) * scale
    return {"mean": values.mean(), "sd": values.std()} if values.size else None


def _rounded(cell, digits):
    """The cell as JSON holds it."""
    if isinstance(cell, dict):
        return {name: _rounded(value, digits) for name, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [_rounded(value, None) for value in cell]
    if cell is None or isinstance(cell, str | int):
        return cell
    if isinstance(cell, np.integer):
        return int(cell)
    value = float(cell)
    if not math.isfinite(value):
        return None
    return value if digits is None else round(value, digits) + 0.0  # the sum makes -0.0 to 0.0


def cell_text(cell, column):
    """The cell as the table shows it."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, list):
        return " ".join(f"{value:g}" for value in cell)
    if isinstance(cell, dict):
        if len(cell) == 1:
            return cell_text(*cell.values(), column)
        first, second = cell
        middle, end = {"sd": (" ± ", ""), "worst": (" (", ")")}[second]
        return cell_text(cell[first], column) + middle + cell_text(cell[second], Column("", column.digits)) + end
    sign = "+" if column.signed else ""
    if isinstance(cell, int) or column.digits is None:
        return f"{cell:{sign},}"
    return f"{cell:{sign},.{column.digits}f}"


@dataclass
class Result:
    """What a file holds.

    ``command`` is a list, for numbers of several; ``commit`` and ``dirty`` (whether other files had been changed) are
    None where there is no git. ``transcribed``: copied from what the command printed, as ``note`` says.
    """

    command: list
    commit: str | None
    dirty: bool | None
    date: str
    machine: str
    tables: dict
    note: str = ""
    transcribed: bool = False

    def write(self, name):
        """Writes ``<name>.json``; returns its path."""
        file = FOLDER / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        held = asdict(self)
        for table in held["tables"].values():
            table["columns"] = [{k: v for k, v in column.items() if v is not False} for column in table["columns"]]
        file.write_text(as_json(held) + "\n", encoding="utf-8")
        return file


def read(file):
    """The :class:`Result` of a file."""
    held = json.loads(Path(file).read_text(encoding="utf-8"))
    tables = {
        name: Table([Column(**column) for column in table["columns"]], table["rows"])
        for name, table in held.pop("tables").items()
    }
    return Result(tables=tables, **held)


def read_all():
    """Name -> :class:`Result` of all files."""
    return {file.stem: read(file) for file in sorted(FOLDER.glob("*.json"))}


def as_json(value, depth=0):
    """Sorted JSON with one line for each column and row, so that a difference of two files is one of rows."""
    inner = "  " * (depth + 1)
    if depth == 4 or not isinstance(value, dict | list) or not value:
        return json.dumps(value, ensure_ascii=False, sort_keys=isinstance(value, dict) and depth < 4)
    if isinstance(value, dict):
        lines = [f"{json.dumps(key)}: {as_json(value[key], depth + 1)}" for key in sorted(value)]
        opening, closing = "{}"
    else:
        lines = [as_json(item, depth + 1) for item in value]
        opening, closing = "[]"
    return opening + "\n" + ",\n".join(inner + line for line in lines) + "\n" + "  " * depth + closing


class Recording:
    """A run of a benchmark, from :func:`started` to :meth:`finish`."""

    def __init__(self, benchmark, arguments, save):
        self._benchmark, self._save = benchmark, save
        # As they are now: they may be others when the run ends, hours later.
        self._command = command(benchmark, arguments)
        self._commit, self._dirty = git_state()
        self._machine = machine()
        print(self._machine, flush=True)

    def finish(self, tables, note=""):
        """Prints {name: :class:`Table`}, and keeps them if that was asked for."""
        for name, table in tables.items():
            print(f"\n{name}\n\n{table.markdown()}", flush=True)
        if note:
            print(f"\n{note}")
        if self._save is None:
            return
        today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        result = Result([self._command], self._commit, self._dirty, today, self._machine, tables, note)
        name = f"{self._benchmark}-{self._save}" if self._save else self._benchmark
        print(f"\nSaved as {result.write(name).relative_to(FOLDER.parent.parent)}")


def started(benchmark, parser, arguments=None):
    """(options, :class:`Recording`): adds ``--save`` to the parser, parses, and notes commit and machine."""
    parser.add_argument(
        "--save",
        nargs="?",
        const="",
        metavar="DATA",
        help=f"keep the result as benchmarks/results/{benchmark}[-DATA].json",
    )
    arguments = [str(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    options = parser.parse_args(arguments)
    return options, Recording(benchmark, arguments, options.save)


def command(benchmark, arguments):
    """The command line as others can use it: files and folders of this machine by what they are."""
    shown = [
        "FOLDER" if os.path.isdir(a) else "FILE" if os.path.exists(a) or os.sep in a or os.path.isabs(a) else a
        for a in arguments
    ]
    return " ".join([f"python -m benchmarks.{benchmark}", *shown])


def git_state():
    """(short commit, whether anything but results and documents was changed since); None where there is no git."""

    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!*.md")
        return git("rev-parse", "--short", "HEAD"), bool(changed)
    except (OSError, subprocess.CalledProcessError):
        return None, None
