import os
from pathlib import Path

import pytest
from PIL import Image

from elfs_plugin.cli import image_folder
from elfs_plugin.cli.image_folder import find_images


def picture(path, kind="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path, format=kind)
    return path


def names(found):
    return [os.path.relpath(path, found.folder) for path in found.paths]


def counts(found):
    return {reason: passed.count for reason, passed in found.passed_over.items()}


def test_images_are_known_by_suffix_or_by_content(tmp_path):
    for name in ("a.jpg", "b.JFIF", "c.jpe", "d.HEIC", "e.jif", "no_suffix", "f.jpg_large"):
        picture(tmp_path / name, "JPEG")
    picture(tmp_path / "sub" / "g.webp", "WEBP")
    picture(tmp_path / "Größe" / "写真.png")
    (tmp_path / "real.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    (tmp_path / "labels.txt").write_text("cat")
    (tmp_path / "README").write_text("about")
    picture(tmp_path / "backup.bak")
    found = find_images(tmp_path)
    assert names(found) == [
        "Größe/写真.png",
        "a.jpg",
        "b.JFIF",
        "c.jpe",
        "d.HEIC",
        "e.jif",
        "f.jpg_large",
        "no_suffix",
        "sub/g.webp",
    ]
    assert counts(found) == {image_folder.UNKNOWN_KIND: 1, image_folder.OTHER_FILE: 3}
    assert found.sentences() == [
        "Passed over 1: images that cannot be read here (.heic 1). Convert them to JPEG or PNG.",
        "Passed over 3: other files (.bak 1, .txt 1, no suffix 1).",
    ]


def test_what_pillow_does_not_read_is_passed_over(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    (tmp_path / "b.webp").write_bytes(b"RIFF\0\0\0\0WEBPVP8 ")
    monkeypatch.setattr(image_folder, "readable_suffixes", lambda: {".png"})
    monkeypatch.setattr(Image, "OPEN", {"PNG": None})
    assert counts(find_images(tmp_path)) == {image_folder.UNKNOWN_KIND: 1}


def test_linked_folders_are_followed_once_and_circles_end(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    picture(inside / "z" / "1.png")
    picture(outside / "2.png")
    (inside / "a_link").symlink_to(outside)
    (inside / "b_link").symlink_to(outside)  # a second time
    (inside / "circle").symlink_to(inside)
    (inside / "z" / "up").symlink_to(inside)
    (inside / "above").symlink_to(tmp_path)
    (inside / "everything").symlink_to("/")
    (outside / "back").symlink_to(inside / "z")
    (inside / "y_inner").symlink_to(inside / "z")
    (inside / "self").symlink_to(inside / "self")
    (inside / "gone").symlink_to(tmp_path / "nowhere")
    (inside / "3.png").symlink_to(inside / "z" / "1.png")
    (inside / "4.png").symlink_to(picture(tmp_path / "elsewhere" / "x.png"))
    found = find_images(inside)
    assert names(found) == ["4.png", "a_link/2.png", "z/1.png"]
    assert counts(found) == {image_folder.TAKEN_ALREADY: 8, image_folder.BROKEN_LINK: 2}
    assert names(find_images(tmp_path / "in" / "a_link")) == ["2.png", "back/1.png", "back/up/4.png"]


def test_names_that_are_no_text_are_left_out_one_by_one(tmp_path):
    picture(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    raw = os.fsencode(tmp_path)
    try:
        os.mkdir(raw + b"/f\xfcr")
    except OSError:
        pytest.skip("this file system takes only text")
    for name in (b"/caf\xe9.png", b"/f\xfcr/b.png", b"/\xff.txt"):
        Path(os.fsdecode(raw + name)).write_bytes(content)
    found = find_images(tmp_path)
    assert names(found) == ["a.png"]
    assert counts(found) == {image_folder.UNREADABLE_NAME: 2, image_folder.OTHER_FILE: 1}
    assert found.sentences()[0] == (
        r"Passed over 2: names that are not UTF-8 (caf\xe9.png, f\xfcr/b.png). Rename them: a database holds text only."
    )


def test_folders_and_things_that_cannot_be_read(open_folder, without_rights):
    picture(open_folder / "a.png").chmod(0o644)
    picture(open_folder / "closed" / "b.png")
    picture(open_folder / ".git" / "annex" / "c.png")
    os.mkfifo(open_folder / "pipe.png")
    (open_folder / "closed").chmod(0)
    with without_rights():
        found = find_images(open_folder)
        with pytest.raises(PermissionError):
            find_images(open_folder / "closed")
    assert names(found) == ["a.png"]
    assert counts(found) == {
        image_folder.CLOSED_FOLDER: 1,
        image_folder.SKIPPED_FOLDER: 1,
        image_folder.OTHER_FILE: 1,
    }
    assert "folders that cannot be opened (closed)" in found.sentences()[0]


def test_many_of_a_kind_are_counted_and_the_first_are_named(tmp_path):
    for index in range(25):
        (tmp_path / f"{index:02}.png").symlink_to(tmp_path / "nowhere")
    (sentence,) = find_images(tmp_path).sentences()
    assert sentence.startswith("Passed over 25: links that lead nowhere (00.png, ") and ", and 15 more)" in sentence
