"""Tables and numbers of the documents, from benchmarks/results: python -m benchmarks.tables [--check].

Between these markers, which stay, stands what the results say. A cell is named by the text of its row's first cell and
the title of its column:

    <!-- table NAME -->              the table of NAME.json; NAME.TABLE or NAME.TABLE+TABLE where it has several
    <!-- end -->
    <!-- value NAME ROW / COLUMN -->81.0<!-- end -->       NAME.TABLE where several have the cell

``--check`` writes nothing and fails where the documents differ from the results.
"""

import argparse
import re
from pathlib import Path

from . import results

TABLE = re.compile(r"<!-- table (?P<name>\S+) -->\n(?P<old>.*?)<!-- end -->", re.DOTALL)
VALUE = re.compile(r"<!-- value (?P<name>\S+)\s(?P<row>[^/\n]+?) / (?P<column>[^\n]+?) -->(?P<old>[^\n<]*)<!-- end -->")
EVIDENCE = ("evidence-", "evidence_network-")
"""What ``benchmarks.evidence`` writes its own document of."""
OWN_LINE = re.compile(r"^ {0,3}<!-- value", re.MULTILINE)
MARKER = re.compile(r"<!-- (?:table|value|end)\b")


class Mismatch(Exception):
    """A marker that no result answers to."""


def documents():
    """The files that may hold markers."""
    docs = results.ROOT / "docs"
    return [results.ROOT / "README.md", *sorted(docs.rglob("*.md"))]


def filled(text, found):
    """The text with what stands between its markers made anew from {name: Result}.

    Raises:
        Mismatch: for a marker without a result, table or cell, and for half a marker
    """
    whole = 2 * len(TABLE.findall(text)) + 2 * len(VALUE.findall(text))
    if whole != len(MARKER.findall(text)):
        raise Mismatch("A marker is not complete: each needs its name and its <!-- end -->.")
    if OWN_LINE.search(text):
        raise Mismatch("A value begins a line: Markdown would take the whole line for HTML.")
    text = TABLE.sub(lambda match: _table(match, found), text)
    return VALUE.sub(lambda match: _value(match, found), text)


def shown(text):
    """Names of the results that the text shows."""
    return {match["name"].partition(".")[0] for pattern in (TABLE, VALUE) for match in pattern.finditer(text)}


def _result(name, found):
    if name not in found:
        raise Mismatch(f"There is no benchmarks/results/{name}.json.")
    return found[name]


def _table(match, found):
    name, _, keys = match["name"].partition(".")
    result = _result(name, found)
    wanted = keys.split("+")
    if not keys and len(result.tables) == 1:
        wanted = list(result.tables)
    if not set(wanted) <= set(result.tables):
        raise Mismatch(f"{name}.json has the tables {', '.join(result.tables)}, not '{keys}'.")
    parts = [result.tables[key].markdown() for key in wanted]
    return "\n\n".join([f"<!-- table {match['name']} -->", *parts, caption(result), "<!-- end -->"])


def caption(result):
    """One line: what was run, at which commit, when and where."""
    commands = " and ".join(f"`{command}`" for command in result.command)
    commit = "an unknown commit" if result.commit is None else f"commit {result.commit}"
    changes = " with changes" if result.dirty else ""
    copied = "; copied by hand" if result.transcribed else ""
    note = f" {result.note}" if result.note else ""
    return f"<sub>{commands}, {commit}{changes}, {result.date}, {result.machine.split(';')[0]}{copied}.{note}</sub>"


def _value(match, found):
    (name, _, key), row_name, title = match["name"].partition("."), match["row"], match["column"]
    tables = _result(name, found).tables
    hits = [
        results.cell_text(cell, column)
        for table in ([tables[key]] if key in tables else tables.values())
        for row in table.rows
        if results.cell_text(row[0], table.columns[0]) == row_name
        for cell, column in zip(row, table.columns)
        if column.title == title
    ]
    if len(hits) != 1:
        raise Mismatch(f"{name}.json has {len(hits)} cells in a row '{row_name}' and a column '{title}', not one.")
    start, _, _ = match[0].partition(" -->")
    return f"{start} -->{hits[0]}<!-- end -->"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where the documents differ")
    options = parser.parse_args(arguments)
    found, wrong, seen = results.read_all(), [], set()
    for file in documents():
        text, name = file.read_text(encoding="utf-8"), Path(file).relative_to(results.ROOT)
        seen |= shown(text)
        try:
            new = filled(text, found)
        except Mismatch as error:
            wrong.append(f"{name}: {error}")
            continue
        if new == text:
            continue
        if options.check:
            wrong.append(f"{name} differs from the results: run python -m benchmarks.tables.")
        else:
            file.write_text(new, encoding="utf-8")
            print(f"{name} is written anew.")
    elsewhere = {name for name in found if name.startswith(EVIDENCE)}
    wrong += [f"benchmarks/results/{name}.json is shown nowhere." for name in sorted(set(found) - seen - elsewhere)]
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
