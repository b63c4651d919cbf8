import csv
import io

import pytest

from elfs_plugin import csv_cells
from elfs_plugin.evaluation.tables import to_csv


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=HYPERLINK(A1)", "'=HYPERLINK(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("'=1", "''=1"),
        ("-inf", "'-inf"),
        ("＝1", "'＝1"),
        ("-", "'-"),
        ("-5", "-5"),
        ("+1.5e-3", "+1.5e-3"),
        ("cluster 3", "cluster 3"),
        ("'tis", "'tis"),
        ("/data/=a.png", "/data/=a.png"),
        ("", ""),
        (-0.25, -0.25),
        (3, 3),
        (None, None),
    ],
)
def test_no_text_begins_a_formula_and_all_reads_back(value, written):
    assert csv_cells.cell(value) == written
    if isinstance(value, str):
        assert csv_cells.plain_text(csv_cells.cell(value)) == value


def test_tables_have_no_formula_in_names_or_header():
    text = to_csv([{"coreset": "=1+1", "accuracy": -0.5}, {"coreset": "b", "@more": None}])
    header, first, second = csv.reader(io.StringIO(text))
    assert header == ["coreset", "accuracy", "'@more"]
    assert first == ["'=1+1", "-0.5", ""] and second == ["b", "", ""]
