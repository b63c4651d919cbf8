import os

from elfs_plugin.text import first_line, is_text, printable


def test_names_are_shown_on_one_line_of_plain_text():
    assert printable("写 真.png") == "写 真.png"
    assert printable("a\nb\x1b[31m.png") == r"a\nb\x1b[31m.png"
    assert printable(os.fsdecode(b"caf\xe9")) == r"caf\xe9"


def test_what_the_database_can_keep():
    assert is_text("写 真") and not is_text("\ud83d") and not is_text(os.fsdecode(b"caf\xe9"))


def test_the_first_line_of_an_error():
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
    assert len(first_line(ValueError("x" * 1000))) == 300
