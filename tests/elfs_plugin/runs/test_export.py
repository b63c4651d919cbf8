"""An export loses nothing: neither what lies where it goes, nor what it exports."""

import csv
import errno
import json
import os
import shutil
import signal
from types import SimpleNamespace

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

from elfs_plugin import csv_cells, runs
from elfs_plugin.errors import ElfsError, InvalidInput
from elfs_plugin.runs import (
    export,
    export_copies,
    export_placing,
    export_receipt,
    export_staging,
    export_target,
    fields,
    journal,
    record,
)

FOLDERS = ("images", "fiftyone")


@pytest.fixture(scope="module")
def base(new_dataset):
    """A dataset of 12 images, ranked in their order, 6 of them in the coreset."""
    dataset = new_dataset(12)
    run = record.RunRecord("elfs", owns_field=True, embeddings_field="vectors")
    selection = {"hard": 2, "coreset": 6, "easy": 4}
    run.stages = {"pseudo_labels": {"clusters": 2}, "scores": {"score": "aum", "scored": 12}, "selection": selection}
    scores = SimpleNamespace(**{name: np.arange(12) - 6.0 for name in fields.SCORES})
    draft = journal.Draft()
    draft.put(*fields.score_columns("elfs", dataset.values("id"), scores, np.arange(12)))
    journal.publish(dataset, run, draft)
    return dataset


@pytest.fixture
def chosen(base, digits, tmp_path):
    """That dataset with images of its own, and their folder. Tests change nothing but paths."""
    return with_images(base, digits, tmp_path)


@pytest.fixture
def changeable(written, digits, tmp_path):
    """The same, also with pseudo-labels, and only for one test."""
    dataset, _ = written
    run = record.load_record(dataset, "elfs")
    run.stages["selection"] = {"hard": 2, "coreset": 6, "easy": 4}
    record.save_record(dataset, run)
    return with_images(dataset, digits, tmp_path)


def with_images(dataset, digits, tmp_path):
    folder = tmp_path / "media"
    folder.mkdir()
    dataset.set_values("filepath", [shutil.copy(path, folder) for path in digits[:12]])
    return dataset, folder


def snapshot(folder):
    """Every path below a folder -> its content."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def coreset(dataset):
    return runs.zone_view(runs.Run(dataset, "elfs"), "coreset", order="hardest").values("filepath")


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def set_path(dataset, old, new):
    sample = dataset[old]
    sample.filepath = str(new)
    sample.save()


# What is never overwritten


@pytest.mark.parametrize("format", FOLDERS)
@pytest.mark.parametrize("place", ["media", ".", "media/inside", "link", "link/inside", "media/../media", "MEDIA"])
def test_folders_with_images_of_the_dataset_are_refused(chosen, tmp_path, format, place):
    dataset, _ = chosen
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "media")
    if place == "MEDIA":  # another name of the same folder, as on a disk that ignores case
        (tmp_path / "MEDIA").symlink_to(tmp_path / "media")
        place = "MEDIA/inside"
    before = snapshot(tmp_path)
    with pytest.raises(InvalidInput, match="images of the dataset|not exported by ELFS|symbolic link") as caught:
        runs.export_coreset(dataset, path=str(tmp_path / place), format=format, overwrite=True)
    assert caught.value.field == "path"
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("other", ["thumbnail", "masks", "list"])
def test_media_of_other_fields_count_too(changeable, tmp_path, other):
    dataset, _ = changeable
    (tmp_path / "more").mkdir()
    path = str(tmp_path / "more" / "other.png")
    first = dataset.first()  # of another zone
    if other == "thumbnail":
        dataset.add_sample_field("thumbnail", fo.StringField)
        dataset.app_config.media_fields = ["filepath", "thumbnail"]
        dataset.save()
        first["thumbnail"] = path
    elif other == "masks":
        first["mask"] = fo.Segmentation(mask_path=path)
    else:
        first["boxes"] = fo.Detections(detections=[fo.Detection(label="a", mask_path=path)])
    first.save()
    with pytest.raises(InvalidInput, match="images of the dataset"):
        runs.export_coreset(dataset, path=str(tmp_path / "more" / "out"), format="images")
    assert os.listdir(tmp_path / "more") == []


def test_a_folder_whose_images_are_gone_is_still_the_datasets(chosen, tmp_path):
    """As when their disk is not mounted."""
    dataset, folder = chosen
    keep = coreset(dataset)
    for path in dataset.values("filepath"):
        if path not in keep[:1]:
            os.remove(path)
    set_path(dataset, keep[0], shutil.move(keep[0], tmp_path / "kept.png"))
    with pytest.raises(InvalidInput, match="holds images of the dataset"):
        runs.export_coreset(dataset, path=str(folder), format="images", overwrite=True)
    with pytest.raises(InvalidInput, match="is an image of the dataset"):
        runs.export_coreset(dataset, path=keep[1])


def test_images_that_are_links_protect_what_they_point_to(chosen, tmp_path):
    dataset, folder = chosen
    (tmp_path / "store").mkdir()
    for path in dataset.values("filepath"):
        os.symlink(shutil.move(path, tmp_path / "store"), path)
    with pytest.raises(InvalidInput, match="lies in a folder of images of the dataset"):
        runs.export_coreset(dataset, path=str(tmp_path / "store" / "out"), format="images")
    assert runs.export_coreset(dataset, path=str(tmp_path / "out"), format="images")["exported"] == 6
    assert not any(path.is_symlink() for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize("format", export.EXPORT_FORMATS)
def test_what_elfs_did_not_write_is_not_replaced(chosen, tmp_path, format):
    dataset, _ = chosen
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("filepath,label\nmine")
    (tmp_path / "file.partial").write_text("mine")
    (tmp_path / "to_file").symlink_to(tmp_path / "file")
    (tmp_path / "to_nothing").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    before = _written(tmp_path)
    for name in before:
        for overwrite in (False, True):
            with pytest.raises(InvalidInput, match="already exists|symbolic link|images of the dataset"):
                runs.export_coreset(dataset, path=str(tmp_path / name), format=format, overwrite=overwrite)
    assert _written(tmp_path) == before


def _written(folder):
    """What is known of everything in a folder without its times of access: looking at it changes nothing."""
    stats = {name: os.lstat(folder / name) for name in os.listdir(folder)}
    return {name: (s.st_mode, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in stats.items()}


@pytest.mark.parametrize("format", export.EXPORT_FORMATS)
def test_an_earlier_export_is_replaced_when_asked(chosen, tmp_path, format):
    dataset, _ = chosen
    path = tmp_path / "out"
    runs.export_coreset(dataset, path=str(path), format=format)
    first = snapshot(tmp_path)
    with pytest.raises(InvalidInput, match="already exists. Choose another path, or allow overwriting"):
        runs.export_coreset(dataset, path=str(path), format=format)
    assert snapshot(tmp_path) == first
    assert runs.export_coreset(dataset, path=str(path), format=format, zone="hard", overwrite=True)["exported"] == 2
    assert {p.name for p in tmp_path.iterdir()} == {"media", "out", ".out.elfs-export.json"}
    if format == "images":
        hard = runs.zone_view(runs.Run(dataset, "elfs"), "hard").values("filepath")
        assert sorted(os.listdir(path)) == sorted(map(os.path.basename, hard))


def test_a_list_that_somebody_has_changed_is_not_replaced(chosen, tmp_path):
    dataset, _ = chosen
    out = tmp_path / "out.csv"
    runs.export_coreset(dataset, path=str(out))
    out.write_text(out.read_text().replace("coreset", "mine"))
    before = snapshot(tmp_path)
    with pytest.raises(InvalidInput, match="not a list as ELFS wrote it"):
        runs.export_coreset(dataset, path=str(out), overwrite=True)
    assert snapshot(tmp_path) == before
    out.unlink()  # the receipt alone is no reason to refuse
    assert runs.export_coreset(dataset, path=str(out))["exported"] == 6


@pytest.mark.parametrize("died_at", ["place_file", "forget_list"])
def test_a_list_is_known_whenever_its_writer_died(chosen, tmp_path, monkeypatch, died_at):
    class Killed(BaseException):
        pass

    def die(*args):
        raise Killed

    dataset, _ = chosen
    out = tmp_path / "out.csv"
    runs.export_coreset(dataset, path=str(out))
    with monkeypatch.context() as patch:
        patch.setattr(export_staging.Staging, "place_file", die)
        if died_at == "forget_list":
            patch.setattr(export_placing, "forget_list", die)
        with pytest.raises(Killed):
            runs.export_coreset(dataset, path=str(out), zone="hard", overwrite=True)
    assert export_receipt.is_list(out)  # the older one
    assert runs.export_coreset(dataset, path=str(out), zone="hard", overwrite=True)["exported"] == 2


@pytest.mark.parametrize("format", FOLDERS)
@pytest.mark.parametrize("change", ["added", "edited", "link", "empty folder", "replaced by a link"])
def test_a_folder_with_changes_of_others_is_not_replaced(chosen, tmp_path, format, change):
    dataset, _ = chosen
    out = tmp_path / "out"
    runs.export_coreset(dataset, path=str(out), format=format)
    some = next(path for path in out.rglob("*.png"))
    if change == "added":
        (some.parent / "labels.txt").write_text("mine")
    elif change == "edited":
        some.write_bytes(b"mine")
    elif change == "link":
        (out / "more").symlink_to(tmp_path / "media")
    elif change == "empty folder":
        (out / "mine").mkdir()
    else:
        some.unlink()
        some.symlink_to(tmp_path / "media" / some.name)
    before = snapshot(tmp_path)
    with pytest.raises(InvalidInput, match="1 files or folders that were added or changed since"):
        runs.export_coreset(dataset, path=str(out), format=format, overwrite=True)
    assert snapshot(tmp_path) == before


def test_files_that_were_removed_from_an_export_do_not_matter(chosen, tmp_path):
    dataset, _ = chosen
    out = tmp_path / "out"
    runs.export_coreset(dataset, path=str(out), format="images")
    next(out.iterdir()).unlink()
    runs.export_coreset(dataset, path=str(out), format="images", overwrite=True)
    assert len(list(out.iterdir())) == 6
    shutil.rmtree(out)  # the receipt alone is no reason to refuse
    assert runs.export_coreset(dataset, path=str(out), format="images")["exported"] == 6


def test_an_exported_folder_of_which_a_dataset_was_made_is_not_replaced(chosen, tmp_path):
    dataset, _ = chosen
    out = tmp_path / "out"
    runs.export_coreset(dataset, path=str(out), format="images")
    first = coreset(dataset)[0]
    set_path(dataset, first, out / os.path.basename(first))
    with pytest.raises(InvalidInput, match="holds images of the dataset"):
        runs.export_coreset(dataset, path=str(out), format="images", overwrite=True)


def test_a_receipt_that_is_none_is_not_touched(chosen, tmp_path):
    dataset, _ = chosen
    for content in ("mine", "{}", '{"kind": "ELFS export", "files": []}'):
        (tmp_path / ".out.elfs-export.json").write_text(content)
        (tmp_path / "out").mkdir(exist_ok=True)
        with pytest.raises(InvalidInput, match="is in the way and was not written by ELFS"):
            runs.export_coreset(dataset, path=str(tmp_path / "out"), format="images", overwrite=True)
        assert (tmp_path / ".out.elfs-export.json").read_text() == content


def test_a_target_that_appears_meanwhile_stays(chosen, tmp_path, monkeypatch):
    dataset, _ = chosen
    out = tmp_path / "out"
    write = export._write_images

    def and_somebody_else_writes(*arguments):
        found = write(*arguments)
        out.mkdir(exist_ok=True)
        (out / "mine.txt").write_text("mine")
        return found

    monkeypatch.setattr(export, "_write_images", and_somebody_else_writes)
    with pytest.raises(ElfsError, match="was written to by something else meanwhile"):
        runs.export_coreset(dataset, path=str(out), format="images")
    assert os.listdir(out) == ["mine.txt"] and sorted(os.listdir(tmp_path)) == ["media", "out"]
    (out / "mine.txt").unlink()
    monkeypatch.setattr(export, "_write_images", write)
    runs.export_coreset(dataset, path=str(out), format="images")
    before = snapshot(out)
    monkeypatch.setattr(export, "_write_images", and_somebody_else_writes)
    with pytest.raises(ElfsError, match="was written to by something else meanwhile"):
        runs.export_coreset(dataset, path=str(out), format="images", overwrite=True)
    assert snapshot(out) == {**before, "mine.txt": b"mine"}
    assert sorted(os.listdir(tmp_path)) == [".out.elfs-export.json", "media", "out"]


def test_a_list_that_appears_meanwhile_stays(chosen, tmp_path, monkeypatch):
    dataset, _ = chosen
    out = tmp_path / "out.csv"
    write = export._write_list

    def and_somebody_else_writes(*arguments):
        out.write_text("mine")
        return write(*arguments)

    monkeypatch.setattr(export, "_write_list", and_somebody_else_writes)
    with pytest.raises(ElfsError, match="was written to by something else meanwhile"):
        runs.export_coreset(dataset, path=str(out))
    assert out.read_text() == "mine" and sorted(os.listdir(tmp_path)) == ["media", "out.csv"]


# Killed, and full disks


def _never(*_):
    return False


KILLED = {
    "while it writes": None,
    "before the exchange": "_exchange",
    "before the receipt": "_place_receipt",
    "before the old one is removed": "_remove_folders",
    "between two renames": "rename",
}


@pytest.mark.parametrize("moment", KILLED)
def test_a_killed_export_leaves_the_old_or_the_new_one(tmp_path, moment, monkeypatch):
    out = tmp_path / "out"
    export_of(out, b"old")
    child = os.fork()
    if not child:  # dies, whatever happens
        try:
            killed_export(out, moment)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    left = [name for name in os.listdir(tmp_path) if name.startswith(export_staging.PREFIX)]
    assert len(left) == 1
    aside = tmp_path / left[0] / "old"
    new = moment in ("before the receipt", "before the old one is removed")
    content = {"a.png": b"new" if new else b"old", "b": None, "b/c.png": b"new" if new else b"old"}
    assert snapshot(aside if moment == "between two renames" else out) == content
    export_target.check_target(out, "images", overwrite=True)  # with which the next export and its form begin
    assert sorted(os.listdir(tmp_path)) == [".out.elfs-export.json", "out"]
    assert snapshot(out) == content
    assert export_receipt.strangers(out, export_receipt.read_receipt(export_receipt.receipt_path(out))) == []
    export_of(out, b"newest", overwrite=True)
    assert (out / "a.png").read_bytes() == b"newest"
    assert sorted(os.listdir(tmp_path)) == [".out.elfs-export.json", "out"]


def test_a_first_export_that_was_killed_before_its_receipt_has_one_in_the_end(tmp_path):
    out = tmp_path / "out"
    child = os.fork()
    if not child:
        try:
            killed_export(out, "before the receipt")
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(os.listdir(tmp_path)) == 2 and out.is_dir()
    with pytest.raises(InvalidInput, match="already exists. Choose another path, or allow overwriting"):
        export_target.check_target(out, "images")
    assert sorted(os.listdir(tmp_path)) == [".out.elfs-export.json", "out"]


def export_of(out, content, overwrite=False):
    with export_staging.Staging(out) as staging:
        for name in ("a.png", "b/c.png"):
            (staging.new / name).parent.mkdir(parents=True, exist_ok=True)
            (staging.new / name).write_bytes(content)
        staging.place_folder(export_receipt.new_receipt(staging.new), overwrite=overwrite)


def killed_export(out, moment):
    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    if moment == "while it writes":
        staging = export_staging.Staging(out)
        staging.new.mkdir()
        (staging.new / "half.png").write_bytes(b"half")
        die()
    if moment == "between two renames":
        renames = iter([os.rename, os.rename, die])  # onto the target, which is not empty; aside; die

        def rename(*arguments):
            return next(renames)(*arguments)

        export_staging._exchange = _never
        os.rename = rename
    else:
        setattr(export_staging, KILLED[moment], die)
    export_of(out, b"new", overwrite=True)


def test_an_export_that_is_at_work_is_left_alone(tmp_path):
    with export_staging.Staging(tmp_path / "out") as staging:
        staging.new.mkdir()
        (staging.new / "half.png").write_bytes(b"half")
        export_staging.remove_dead(tmp_path)
        assert (staging.new / "half.png").exists()
    assert os.listdir(tmp_path) == []


def test_without_an_exchange_of_names_the_old_export_is_replaced_too(tmp_path, monkeypatch):
    export_of(tmp_path / "out", b"old")
    monkeypatch.setattr(export_staging, "_exchange", _never)
    export_of(tmp_path / "out", b"new", overwrite=True)
    assert (tmp_path / "out" / "b" / "c.png").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == [".out.elfs-export.json", "out"]


def test_what_is_added_to_the_old_export_in_the_last_moment_is_kept(tmp_path, monkeypatch):
    out = tmp_path / "out"
    export_of(out, b"old")
    place = export_staging._place_receipt

    def and_somebody_writes(folder, target, receipt):
        (folder / "new" / "mine.txt").write_text("mine")  # through a folder that was open before the exchange
        place(folder, target, receipt)

    monkeypatch.setattr(export_staging, "_place_receipt", and_somebody_writes)
    with export_staging.Staging(out) as staging:
        staging.new.mkdir()
        (staging.new / "a.png").write_bytes(b"new")
        staging.place_folder(export_receipt.new_receipt(staging.new), overwrite=True)
    assert (out / "a.png").read_bytes() == b"new"
    assert snapshot(tmp_path / staging.kept / "new") == {"mine.txt": b"mine"}


class _Full:
    """A file on a full disk."""

    def __init__(self, file):
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def write(self, _):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("format", export.EXPORT_FORMATS)
def test_a_full_disk_is_the_targets_and_leaves_nothing(chosen, tmp_path, monkeypatch, format):
    dataset, _ = chosen
    path = tmp_path / "new" / "out"
    before = snapshot(tmp_path)
    for module in (export_placing, export_copies):
        opened = lambda p, mode="r", **options: (_Full if "x" in mode else lambda f: f)(open(p, mode, **options))  # noqa: E731
        monkeypatch.setattr(module, "open", opened, raising=False)
    with pytest.raises(ElfsError, match=f"There is not enough room for {path}. Free some space there") as caught:
        runs.export_coreset(dataset, path=str(path), format=format)
    assert "resume" not in str(caught.value)
    assert snapshot(tmp_path) == before


# Paths


@pytest.mark.parametrize("format", export.EXPORT_FORMATS)
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("{tmp}/" + "n" * 300, "is too long"),
        ("{tmp}/new/" + "é" * 130 + "/out", "is too long"),
        ("{tmp}/" + "d/" * 2500 + "out", "is too long"),
        ("{tmp}/a\0b", "a character that no file name can have"),
        ("{tmp}/a\ud800b", "a character that no file name can have"),
        ("{tmp}/file/below", "is a file, not a folder"),
        ("{tmp}/file/far/below", "is a file, not a folder"),
        ("{tmp}/loop/below", "cannot be"),
        ("/proc/out", "is not on a disk"),
        ("/proc/self/out/further", "is not on a disk"),
        ("/sys/out", "is not on a disk"),
        ("/dev/null", "is not on a disk"),
        ("/", "is the root of a disk"),
        ("//", "is the root of a disk"),
        ("out", "Give an absolute path"),
        ("./out", "Give an absolute path"),
        (" ", "Give an absolute path"),
        ("~nobody-of-that-name/out", "Give an absolute path"),
        ("~\0", "Give an absolute path"),
        (7, "Give an absolute path"),
        (None, "Give an absolute path"),
    ],
)
def test_impossible_paths_are_refused_in_words(tmp_path, format, path, words):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    path = path.format(tmp=tmp_path) if isinstance(path, str) else path
    with pytest.raises(InvalidInput, match=words) as caught:
        export_target.check_target(path, format, overwrite=True)
    assert caught.value.field == "path" and len(str(caught.value)) < 6000
    assert sorted(os.listdir(tmp_path)) == ["file", "loop"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(InvalidInput, match="There is no permission to write into"):
        export_target.check_target(tmp_path / "closed" / "new" / "out", "images")


def test_permission_is_asked_for_the_nearest_folder_that_exists(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append(str(path)))
    with pytest.raises(InvalidInput, match=f"There is no permission to write into {tmp_path}"):
        export_target.check_target(tmp_path / "closed" / "new" / "out", "images")
    assert asked == [str(tmp_path)]


def test_a_path_may_begin_with_the_home_and_go_through_links(chosen, tmp_path, monkeypatch):
    dataset, _ = chosen
    (tmp_path / "home").mkdir()
    (tmp_path / "way").symlink_to(tmp_path / "home")
    monkeypatch.setenv("HOME", str(tmp_path / "way"))
    result = runs.export_coreset(dataset, path="~/new/list.csv")
    assert result["path"] == str(tmp_path / "way" / "new" / "list.csv")
    assert len(rows_of(tmp_path / "home" / "new" / "list.csv")) == 6


def test_an_empty_folder_is_filled_and_keeps_its_mode(chosen, tmp_path):
    dataset, _ = chosen
    out = tmp_path / "out"
    out.mkdir(mode=0o750)
    runs.export_coreset(dataset, path=str(out), format="images")
    assert len(os.listdir(out)) == 6 and out.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("format", FOLDERS)
def test_the_longest_name_of_a_folder(chosen, tmp_path, format):
    dataset, _ = chosen
    out = tmp_path / ("n" * 255)
    for overwrite in (False, True):
        runs.export_coreset(dataset, path=str(out), format=format, overwrite=overwrite)
    assert len(list(out.rglob("*.png"))) == 6


# Images that cannot be read


def spoil(paths, tmp_path):
    """Three images that cannot be read; returns path -> a word of the reason."""
    os.remove(paths[0])
    os.remove(paths[1])
    os.mkfifo(paths[1])
    open(paths[2], "w").close()
    return {paths[0]: "not found", paths[1]: "not a file", paths[2]: "empty"}


@pytest.mark.parametrize("format", export.EXPORT_FORMATS)
def test_images_that_cannot_be_read_are_left_out_counted_and_listed(chosen, tmp_path, format):
    dataset, _ = chosen
    paths = coreset(dataset)
    ids = dict(zip(*dataset.values(["filepath", "id"])))
    bad = spoil(paths, tmp_path)
    out = tmp_path / "out.csv" if format == "csv" else tmp_path / "out"
    result = runs.export_coreset(dataset, path=str(out), format=format)
    listed = tmp_path / "out.missing.csv"
    assert result == {
        "path": str(out),
        "exported": 3,
        "missing": 3,
        "missing_list": str(listed),
        "deleted": 0,
        "what": "zone",
        "repeated": 0,
        "kept": None,
    }
    assert [(row["filepath"], row["id"], row["reason"]) for row in rows_of(listed)] == [
        (path, ids[path], reason) for path, reason in bad.items()
    ]
    if format == "csv":
        assert [row["filepath"] for row in rows_of(out)] == paths[3:]
    elif format == "images":
        assert snapshot(out) == {os.path.basename(path): open(path, "rb").read() for path in sorted(paths[3:])}
    else:
        copy = fo.Dataset.from_dir(str(out), dataset_type=fo.types.FiftyOneDataset)
        assert copy.values("id") == [ids[path] for path in paths[3:]]
        copy.delete()
    assert "3 could not be read and were left out" in export.describe(result)


def test_a_list_of_missing_images_goes_when_none_is_missing_any_more(chosen, tmp_path):
    dataset, _ = chosen
    first = coreset(dataset)[0]
    shutil.move(first, tmp_path / "kept")
    out, listed = tmp_path / "out", tmp_path / "out.missing.csv"
    listed.write_text("mine")
    again = tmp_path / "out.missing-2.csv"
    assert runs.export_coreset(dataset, path=str(out), format="images")["missing_list"] == str(again)
    assert listed.read_text() == "mine" and len(rows_of(again)) == 1
    listed.unlink()
    runs.export_coreset(dataset, path=str(out), format="images", overwrite=True)
    assert len(rows_of(listed)) == 1
    shutil.move(tmp_path / "kept", first)
    result = runs.export_coreset(dataset, path=str(out), format="images", overwrite=True)
    assert result["missing_list"] is None and not listed.exists()


@pytest.mark.parametrize("format", export.EXPORT_FORMATS)
def test_nothing_is_exported_when_no_image_can_be_read(chosen, tmp_path, format):
    dataset, folder = chosen
    shutil.rmtree(folder)
    with pytest.raises(InvalidInput, match=r"None of the 6 images can be read \(.*: not found\)"):
        runs.export_coreset(dataset, path=str(tmp_path / "out"), format=format)
    assert os.listdir(tmp_path) == []


def test_a_read_error_in_the_middle_leaves_no_half_copy(tmp_path, monkeypatch):
    class Broken:
        def __init__(self, file):
            self._file, self._reads = file, 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

        def read(self, size):
            self._reads += 1
            if self._reads > 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return b"half"

    (tmp_path / "a.png").write_bytes(b"whole")
    opened = lambda p, mode="r", **options: (Broken if "r" in mode else lambda f: f)(open(p, mode, **options))  # noqa: E731
    monkeypatch.setattr(export_copies, "open", opened, raising=False)
    copies = export_copies.Copies(tmp_path / "out")
    assert copies.copy(str(tmp_path / "a.png")) is None
    assert copies.missing == {str(tmp_path / "a.png"): os.strerror(errno.EIO)} and os.listdir(tmp_path / "out") == []


def test_samples_that_were_deleted_are_counted(changeable, tmp_path):
    dataset, _ = changeable
    dataset.delete_samples(dataset[coreset(dataset)[0]])
    result = runs.export_coreset(dataset, path=str(tmp_path / "out.csv"))
    assert (result["exported"], result["missing"], result["deleted"]) == (5, 0, 1)
    assert export.describe(result).endswith("1 of the zone are no longer in the dataset")
    dataset.delete_samples(runs.zone_view(runs.Run(dataset, "elfs"), "hard").values("id"))
    with pytest.raises(InvalidInput, match="All 2 images of the zone 'hard' of the run 'elfs' were deleted"):
        runs.export_coreset(dataset, path=str(tmp_path / "hard.csv"), zone="hard")


# Names


def test_a_file_that_several_samples_have_is_copied_and_counted_once(chosen, tmp_path):
    dataset, _ = chosen
    paths = coreset(dataset)
    for path in paths[1:3]:
        set_path(dataset, path, paths[0])
    result = runs.export_coreset(dataset, path=str(tmp_path / "out"), format="images")
    assert (result["exported"], result["repeated"]) == (len(os.listdir(tmp_path / "out")), 2) == (4, 2)
    result = runs.export_coreset(dataset, path=str(tmp_path / "data"), format="fiftyone")
    assert (result["exported"], result["repeated"], len(os.listdir(tmp_path / "data" / "data"))) == (6, 0, 4)


NAMES = ("a/same.png", "b/same.png", "b/c/Same.PNG", "b/c/same.png", "n" * 250 + ".png", "é 日本 %d?.png")


@pytest.mark.parametrize("format", FOLDERS)
@pytest.mark.parametrize("roots", ["one", "two"])
def test_names_of_every_kind_are_exported_without_loss(chosen, tmp_path, format, roots):
    dataset, folder = chosen
    for at, (path, name) in enumerate(zip(coreset(dataset), NAMES)):
        new = (tmp_path / "elsewhere" if roots == "two" and at % 2 else folder) / name
        new.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), at, np.uint8)).save(new, format="png")
        os.remove(path)
        set_path(dataset, path, new)
    out = tmp_path / "out"
    assert runs.export_coreset(dataset, path=str(out), format=format)["exported"] == 6
    files = [path for path in out.rglob("*") if path.is_file() and path.suffix.lower() == ".png"]
    assert sorted(Image.open(path).getpixel((0, 0)) for path in files) == list(range(6))
    assert len({str(path.relative_to(out)).casefold() for path in files}) == 6
    if format == "images":
        root = folder if roots == "one" else tmp_path
        assert str((folder / "a" / "same.png").relative_to(root)) in snapshot(out)
    else:
        copy = fo.Dataset.from_dir(str(out), dataset_type=fo.types.FiftyOneDataset)
        assert [Image.open(path).getpixel((0, 0)) for path in copy.values("filepath")] == list(range(6))
        copy.delete()


def test_a_folder_and_a_file_of_one_name_in_another_case(tmp_path):
    (tmp_path / "in" / "name").mkdir(parents=True)
    paths = [tmp_path / "in" / "name" / "x", tmp_path / "in" / "NAME"]
    for path in paths:
        path.write_text(path.name)
    for order in (paths, paths[::-1]):
        copies = export_copies.Copies(tmp_path / f"out-{order[0].name}", tmp_path / "in")
        for path in order:
            copies.copy(str(path))
        names = {name.casefold() for name in copies.names.values()}
        assert len(names) == 2 and not copies.missing
        assert not any(one.startswith(other + "/") for one in names for other in names)


def test_a_disk_that_does_not_take_a_name_gets_a_plain_one(tmp_path, monkeypatch):
    def only_plain(path, mode="r", **options):
        if "x" in mode and ":" in str(path):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return open(path, mode, **options)

    monkeypatch.setattr(export_copies, "open", only_plain, raising=False)
    (tmp_path / "a:b.png").write_bytes(b"x")
    name = export_copies.Copies(tmp_path / "out").copy(str(tmp_path / "a:b.png"))
    assert name.startswith("a_b-") and name.endswith(".png") and (tmp_path / "out" / name).read_bytes() == b"x"


def test_no_cell_of_a_list_is_a_formula(changeable, tmp_path):
    dataset, _ = changeable
    names = {"cluster 2": "=HYPERLINK(1)", "cluster 10": "-1+1"}
    labels = [names[label] for label in dataset.values("elfs.pseudo_label.label")]
    dataset.set_values("elfs.pseudo_label.label", labels)
    runs.export_coreset(dataset, path=str(tmp_path / "out.csv"))
    rows = rows_of(tmp_path / "out.csv")
    assert {row["pseudo_label.label"] for row in rows} == {"'=HYPERLINK(1)", "'-1+1"}
    assert {csv_cells.plain_text(row["pseudo_label.label"]) for row in rows} == set(names.values())
    assert [float(row["aum"]) for row in rows] == [-4, -3, -2, -1, 0, 1]


# The FiftyOne dataset


def test_other_media_go_along_and_those_that_are_gone_keep_their_path(changeable, tmp_path):
    dataset, _ = changeable
    (tmp_path / "masks").mkdir()
    masks = [str(tmp_path / "masks" / f"{at}.png") for at in range(6)]
    for path, mask in list(zip(coreset(dataset), masks)):
        Image.fromarray(np.full((8, 8), 3, np.uint8)).save(mask)
        sample = dataset[path]
        sample["mask"] = fo.Segmentation(mask_path=mask)
        sample.save()
    os.remove(masks[5])
    assert runs.export_coreset(dataset, path=str(tmp_path / "out"), format="fiftyone")["exported"] == 6
    shutil.move(tmp_path / "out", tmp_path / "moved")
    copy = fo.Dataset.from_dir(str(tmp_path / "moved"), dataset_type=fo.types.FiftyOneDataset)
    found = copy.values("mask.mask_path")
    assert all(path.startswith(str(tmp_path / "moved")) and os.path.exists(path) for path in found[:5])
    assert found[5] == masks[5]
    assert all(path.startswith(str(tmp_path / "moved")) for path in copy.values("filepath"))
    assert copy.values("elfs.rank") == [2, 3, 4, 5, 6, 7]
    copy.delete()


def test_the_receipt_lists_the_files_of_the_export(chosen, tmp_path):
    dataset, _ = chosen
    runs.export_coreset(dataset, path=str(tmp_path / "out"), format="images")
    receipt = json.loads((tmp_path / ".out.elfs-export.json").read_text())
    assert receipt["files"].keys() == snapshot(tmp_path / "out").keys()
    assert (receipt["run"], receipt["zone"], receipt["dataset"]) == ("elfs", "coreset", dataset.name)
