"""The documents say what the results say."""

import pytest

from benchmarks import results, tables
from benchmarks.results import Column, Result, Table
from benchmarks.tables import Mismatch, caption, filled, main, shown


def test_the_documents_of_this_repository_show_its_results_and_nothing_else():
    main(["--check"])


@pytest.fixture
def found():
    one = Table([Column("method"), Column("accuracy, %")])
    one.add("k-means", {"mean": 68.8, "sd": 4.8})
    one.add("best / worst", 3.0)
    two = Table([Column("method"), Column("seconds")])
    two.add("k-means", 1.0)
    run = Result(["python -m benchmarks.a"], "abc1234", False, "2026-01-02", "2 cores; Python 3", {"one": one})
    return {
        "a": run,
        "b": Result(["x", "y"], None, True, "2026-01-03", "one", {"one": one, "two": two}, "A note.", True),
    }


def test_a_table_stands_between_its_markers_with_what_was_run(found):
    text = filled("Before\n<!-- table a -->\nold\n<!-- end -->\nafter", found)
    assert text == (
        "Before\n<!-- table a -->\n\n| method | accuracy, % |\n|---|---|\n| k-means | 68.8 ± 4.8 |\n"
        "| best / worst | 3.0 |\n\n<sub>`python -m benchmarks.a`, commit abc1234, 2026-01-02, 2 cores.</sub>\n\n"
        "<!-- end -->\nafter"
    )
    assert filled(text, found) == text
    second = filled("<!-- table b.two -->\n<!-- end -->", found)
    assert "| k-means | 1.0 |" in second and "accuracy" not in second
    both = filled("<!-- table b.two+one -->\n<!-- end -->", found)
    assert both.index("| method | seconds |") < both.index("| method | accuracy, % |") and both.count("<sub>") == 1


def test_the_caption_says_what_is_not_known_and_what_was_copied(found):
    told = caption(found["b"]).removeprefix("<sub>").removesuffix("</sub>")
    run, _, copied = told.partition("; ")
    assert run == "`x` and `y`, an unknown commit with changes, 2026-01-03, one"
    assert copied == "copied by hand. A note."


def test_a_number_stands_in_the_text(found):
    text = "is <!-- value a k-means / accuracy, % -->1<!-- end -->%, <!-- value b k-means / seconds --><!-- end --> s"
    new = filled(text, found)
    assert new == (
        "is <!-- value a k-means / accuracy, % -->68.8 ± 4.8<!-- end -->%, "
        "<!-- value b k-means / seconds -->1.0<!-- end --> s"
    )
    assert shown(new) == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table c -->\n<!-- end -->", "no benchmarks/results/c.json"),
        ("<!-- table b -->\n<!-- end -->", "one, two"),
        ("<!-- table a.two -->\n<!-- end -->", "one, not 'two'"),
        ("is <!-- value c k-means / seconds -->1<!-- end -->", "no benchmarks/results/c.json"),
        ("is <!-- value a k-means / seconds -->1<!-- end -->", "0 cells"),
        ("is <!-- value b k-means / method -->1<!-- end -->", "2 cells"),
        ("<!-- value a k-means -->1<!-- end -->", "not complete"),
        ("<!-- table a -->\n", "not complete"),
        ("is\n<!-- value a k-means / accuracy, % -->1<!-- end -->", "begins a line"),
    ],
)
def test_a_marker_without_its_result_is_refused(text, message, found):
    with pytest.raises(Mismatch, match=message):
        filled(text, found)


@pytest.fixture
def repository(tmp_path, monkeypatch, found):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "FOLDER", tmp_path / "benchmarks" / "results")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "docs" / "more").mkdir(parents=True)
    (tmp_path / "README.md").write_text("It is <!-- value a k-means / accuracy, % -->1<!-- end -->")
    (tmp_path / "docs" / "more" / "b.md").write_text("<!-- table b.two -->\n<!-- end -->\n")
    for name, result in found.items():
        result.write(name)
    return tmp_path


def test_a_difference_fails_until_it_is_written(repository, capsys):
    with pytest.raises(SystemExit, match=r"README.md differs from the results.*\n.*b.md differs"):
        main(["--check"])
    main([])
    assert capsys.readouterr().out == "README.md is written anew.\ndocs/more/b.md is written anew.\n"
    main(["--check"])
    file = repository / "benchmarks" / "results" / "a.json"
    file.write_text(file.read_text().replace("68.8", "68.9"))
    with pytest.raises(SystemExit, match="^README.md differs from the results"):
        main(["--check"])


def test_a_result_that_is_shown_nowhere_and_a_marker_without_a_result_fail(repository, found):
    main([])
    found["a"].write("c-digits")
    with pytest.raises(SystemExit, match="^benchmarks/results/c-digits.json is shown nowhere.$"):
        main(["--check"])
    (repository / "benchmarks" / "results" / "a.json").unlink()
    with pytest.raises(SystemExit, match="README.md: There is no benchmarks/results/a.json"):
        main(["--check"])
    assert tables.documents()[0] == repository / "README.md"
