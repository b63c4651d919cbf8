"""Batches as files: what is written is whole and in order, what is read back is what an annotator has filled in."""

import csv
import json
import os
import shutil
import time

import fiftyone as fo
import pytest
from PIL import Image

from elfs_plugin.errors import Cancelled, ElfsError, InvalidInput
from elfs_plugin.progress import silent
from elfs_plugin.runs.export_receipt import read_receipt, receipt_path
from elfs_plugin.runs.rounds.backends import registry
from elfs_plugin.runs.rounds.backends.base import Returned, Sending
from elfs_plugin.runs.rounds.state import SentPart

CLASSES = ("cat", "dog", "=sum")
FORMATS = ("csv", "images", "coco")


@pytest.fixture(scope="module")
def shared(new_dataset):
    return new_dataset(8)


@pytest.fixture
def ids(shared):
    """In an order of labelling that is not the dataset's."""
    return shared.values("id")[::-1]


@pytest.fixture
def files():
    return registry.backend("files")


def options_of(tmp_path, format="csv", **more):
    return {"path": str(tmp_path / "out"), "format": format, **more}


def send(dataset, ids, options, key="elfs-r0", prelabels=None, classes=CLASSES, progress=silent, annotator=None):
    """The part as it is after it was sent, with its receipt."""
    part = SentPart(key, len(ids), annotator)
    sending = Sending(dataset, ids, part, "labels", classes, prelabels, options)
    part.receipt = registry.backend("files").send(sending, progress)
    json.dumps(part.receipt)  # plain values
    part.state = "sent"
    return part


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fill(path, words, column="label"):
    """Writes words into a list, row by row, as a spreadsheet would."""
    rows = rows_of(path)
    for row, word in zip(rows, words):
        row[column] = word
    write(path, rows)


def write(path, rows, **options):
    with open(path, "w", newline="", encoding=options.pop("encoding", "utf-8")) as file:
        writer = csv.DictWriter(file, list(rows[0]), **options)
        writer.writeheader()
        writer.writerows(rows)


def list_of(part):
    """The file that an annotator opens."""
    path = part.receipt["path"]
    return {"csv": path, "images": f"{path}/manifest.csv", "coco": f"{path}/labels.json"}[part.receipt["format"]]


def paths_of(dataset):
    return dict(zip(*dataset.values(["id", "filepath"])))


# Sending


def test_it_is_listed_with_its_options(files):
    assert [option.name for option in files.options] == ["path", "format", "overwrite", "labels", "skip_word"]
    assert files.people and not any(option.secret for option in files.options)


def test_a_list_is_in_order_and_its_labels_are_empty(shared, ids, tmp_path):
    part = send(shared, ids, options_of(tmp_path), prelabels={ids[0]: "cat", ids[1]: "=sum"})
    assert part.receipt["path"] == str(tmp_path / "out" / "elfs-r0.csv")
    rows = rows_of(part.receipt["path"])
    assert list(rows[0]) == ["id", "filepath", "prelabel", "label"]
    assert [row["id"] for row in rows] == ids and {row["label"] for row in rows} == {""}
    assert [row["filepath"] for row in rows] == [paths_of(shared)[i] for i in ids]
    assert [row["prelabel"] for row in rows[:3]] == ["cat", "'=sum", ""]  # no formula
    assert (part.receipt["exported"], part.receipt["missing"], part.receipt["deleted"]) == (8, 0, 0)


def test_a_folder_holds_the_images_and_a_manifest(shared, ids, tmp_path):
    part = send(shared, ids, options_of(tmp_path, "images"), prelabels={ids[2]: "dog"})
    folder = tmp_path / "out" / "elfs-r0"
    rows = rows_of(folder / "manifest.csv")
    assert list(rows[0]) == ["file", "id", "order", "prelabel", "label"]
    assert [(row["id"], row["order"]) for row in rows] == [(i, str(n)) for n, i in enumerate(ids, 1)]
    assert [row["prelabel"] for row in rows] == ["", "", "dog", "", "", "", "", ""]
    for row in rows:
        assert (folder / row["file"]).read_bytes() == open(paths_of(shared)[row["id"]], "rb").read()
    assert part.receipt["exported"] == 8 and len(os.listdir(folder / "images")) == 8


def test_coco_has_no_annotations_and_suggestions_apart(shared, ids, tmp_path):
    send(shared, ids, options_of(tmp_path, "coco"), prelabels={ids[0]: "dog"})
    folder = tmp_path / "out" / "elfs-r0"
    content = json.loads((folder / "labels.json").read_text())
    assert content["annotations"] == [] and "info" in content
    assert content["categories"] == [{"id": n, "name": name} for n, name in enumerate(CLASSES, 1)]
    assert [(image["id"], image["sample_id"]) for image in content["images"]] == list(enumerate(ids, 1))
    for image in content["images"]:
        with Image.open(folder / "images" / image["file_name"]) as found:
            assert found.size == (image["width"], image["height"])
    found = json.loads((folder / "prelabels.json").read_text())
    assert [(one["sample_id"], one["category"]) for one in found["prelabels"]] == [(ids[0], "dog")]
    assert "annotations" not in found
    send(shared, ids, options_of(tmp_path, "coco"), key="plain")
    assert not (tmp_path / "out" / "plain" / "prelabels.json").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_every_annotator_has_a_file_with_the_same_control_samples(shared, ids, tmp_path, format):
    control = ids[:2]
    one = send(shared, [*control, *ids[2:5]], options_of(tmp_path, format), key="r0-anna", annotator="anna")
    two = send(shared, [*control, *ids[5:]], options_of(tmp_path, format), key="r0-bo", annotator="bo")
    assert one.receipt["path"] != two.receipt["path"]
    if format != "coco":
        both = [{row["id"] for row in rows_of(list_of(part))} for part in (one, two)]
        assert both[0] & both[1] == set(control)
        fill(list_of(one), ["cat", "dog"])
        fill(list_of(two), ["cat", "cat"])
    else:
        fill_coco(one, {ids[0]: ["cat"], ids[1]: ["dog"]})
        fill_coco(two, {ids[0]: ["cat"], ids[1]: ["cat"]})
    assert take(shared, one, [*control, *ids[2:5]]).labels == {ids[0]: "cat", ids[1]: "dog"}
    assert take(shared, two, [*control, *ids[5:]]).labels == {ids[0]: "cat", ids[1]: "cat"}


def test_a_key_cannot_leave_the_folder(shared, ids, tmp_path):
    part = send(shared, ids, options_of(tmp_path), key="../../r0/anna b")
    assert part.receipt["path"] == str(tmp_path / "out" / ".._.._r0_anna_b.csv")


@pytest.mark.parametrize("format", FORMATS)
def test_images_that_cannot_be_read_are_left_out_and_listed(new_dataset, tmp_path, format):
    gone = tmp_path / "media" / "gone.png"
    dataset = new_dataset(3, [gone])
    ids = dataset.values("id")
    part = send(dataset, ids, options_of(tmp_path, format))
    assert (part.receipt["exported"], part.receipt["missing"]) == (3, 1)
    assert [(row["filepath"], row["id"]) for row in rows_of(part.receipt["missing_list"])] == [(str(gone), ids[3])]
    with pytest.raises(InvalidInput, match="None of the 1 images can be read") as caught:
        send(dataset, ids[3:], options_of(tmp_path, format), key="none")
    assert caught.value.field == "path"


def test_a_file_that_is_no_image_is_left_out_of_coco_alone(new_dataset, tmp_path):
    text = tmp_path / "media" / "text.png"
    text.parent.mkdir()
    text.write_text("no image")
    dataset = new_dataset(2, [text])
    assert send(dataset, dataset.values("id"), options_of(tmp_path, "coco")).receipt["missing"] == 1
    assert sorted(os.listdir(tmp_path / "out" / "elfs-r0" / "images")) == ["0000_0.png", "0001_1.png"]


def test_samples_that_were_deleted_are_counted(new_dataset, tmp_path):
    dataset = new_dataset(4)
    ids = dataset.values("id")
    dataset.delete_samples(ids[:1])
    assert send(dataset, ids, options_of(tmp_path)).receipt["deleted"] == 1
    dataset.delete_samples(ids[1:])
    with pytest.raises(InvalidInput, match="None of the 4 images is in the dataset any more"):
        send(dataset, ids, options_of(tmp_path), key="none")


# Sending again


@pytest.mark.parametrize("format", FORMATS)
def test_what_an_interrupted_attempt_has_written_is_kept(shared, ids, tmp_path, format):
    first = send(shared, ids, options_of(tmp_path, format), prelabels={ids[0]: "cat"})
    if format == "coco":
        fill_coco(first, {ids[0]: ["dog"]})
    else:
        fill(list_of(first), ["dog"])
    again = send(shared, ids, options_of(tmp_path, format), prelabels={ids[0]: "cat"})
    assert again.receipt == first.receipt
    assert take(shared, again, ids).labels == {ids[0]: "dog"}


@pytest.mark.parametrize("format", FORMATS)
def test_another_batch_under_the_same_key_replaces_an_untouched_one_alone(shared, ids, tmp_path, format):
    first = send(shared, ids[:3], options_of(tmp_path, format))
    second = send(shared, ids[3:], options_of(tmp_path, format))
    assert second.receipt["path"] == first.receipt["path"] and second.receipt["exported"] == 5
    if format == "coco":
        fill_coco(second, {ids[3]: ["cat"]})
    else:
        fill(list_of(second), ["cat"])
    before = open(list_of(second)).read()
    for overwrite in (False, True):
        with pytest.raises(InvalidInput) as caught:
            send(shared, ids[:3], options_of(tmp_path, format, overwrite=overwrite))
        assert caught.value.field == "path"
    assert open(list_of(second)).read() == before


@pytest.mark.parametrize("format", FORMATS)
def test_what_elfs_did_not_write_stays(shared, ids, tmp_path, format):
    place = tmp_path / "out" / ("elfs-r0.csv" if format == "csv" else "elfs-r0")
    (place.parent if format == "csv" else place).mkdir(parents=True)
    mine = place if format == "csv" else place / "mine.txt"
    mine.write_text("mine")
    with pytest.raises(InvalidInput, match="already exists"):
        send(shared, ids, options_of(tmp_path, format, overwrite=True))
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("format", FORMATS)
def test_the_file_of_another_dataset_is_replaced_only_when_asked(shared, new_dataset, ids, tmp_path, format):
    send(shared, ids, options_of(tmp_path, format))
    other = new_dataset(3)
    with pytest.raises(InvalidInput, match="already exists"):
        send(other, other.values("id"), options_of(tmp_path, format))
    assert send(other, other.values("id"), options_of(tmp_path, format, overwrite=True)).receipt["exported"] == 3


@pytest.mark.parametrize("format", ("images", "coco"))
def test_a_cancelled_attempt_leaves_nothing(shared, ids, tmp_path, format):
    def progress(fraction, detail=""):
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        send(shared, ids, options_of(tmp_path, format), progress=progress)
    assert os.listdir(tmp_path) == []
    assert send(shared, ids, options_of(tmp_path, format)).receipt["exported"] == 8


def test_a_receipt_says_whose_it_is(shared, ids, tmp_path):
    part = send(shared, ids, options_of(tmp_path))
    receipt = read_receipt(receipt_path(tmp_path / "out" / "elfs-r0.csv"))
    assert receipt["part"] == part.key and receipt["dataset"] == str(shared._doc.id) and receipt["exported"] == 8


# What is refused before


@pytest.mark.parametrize(
    "changes, field",
    [
        ({"path": "relative"}, "path"),
        ({"path": ""}, "path"),
        ({"path": None}, "path"),
        ({"path": 7}, "path"),
        ({"path": "/proc/out"}, "path"),
        ({"path": "{tmp}/list.csv"}, "path"),
        ({"path": "{tmp}/file"}, "path"),
        ({"format": "cocos"}, "format"),
        ({"format": ["csv"]}, "format"),
        ({"skip_word": " "}, "skip_word"),
        ({"skip_word": 3}, "skip_word"),
    ],
)
def test_bad_options_are_refused_before_anything_is_sent(shared, ids, files, tmp_path, changes, field):
    (tmp_path / "file").write_text("a file")
    if isinstance(changes.get("path"), str):
        changes = {"path": changes["path"].replace("{tmp}", str(tmp_path))}
    options = {**options_of(tmp_path), **changes}
    with pytest.raises(InvalidInput) as caught:
        files.check(shared, options)
    assert caught.value.field == field
    with pytest.raises(InvalidInput) as caught:
        send(shared, ids, options)
    assert caught.value.field == field and os.listdir(tmp_path) == ["file"]


def test_good_options_are_taken(shared, files, tmp_path):
    files.check(shared, options_of(tmp_path))
    files.check(shared, {"path": str(tmp_path)})
    assert os.listdir(tmp_path) == []


def test_a_class_cannot_be_the_word_for_skipped(shared, ids, tmp_path):
    with pytest.raises(InvalidInput, match="'Cat' is one of the classes") as caught:
        send(shared, ids, options_of(tmp_path, skip_word="Cat"))
    assert caught.value.field == "skip_word"


def test_folders_of_images_do_not_go_among_the_datasets(new_dataset, digits, tmp_path):
    (tmp_path / "out").mkdir()
    dataset = new_dataset(0, [shutil.copy(digits[0], tmp_path / "out")])
    with pytest.raises(InvalidInput, match="images of the dataset") as caught:
        send(dataset, dataset.values("id"), options_of(tmp_path, "images"))
    assert caught.value.field == "path"


# Taking back: lists


def take(dataset, part, ids, **options):
    return registry.backend("files").take(dataset, part, ids, options)


@pytest.fixture
def sent(shared, ids, tmp_path):
    return send(shared, ids, options_of(tmp_path), prelabels=dict.fromkeys(ids, "cat"))


def test_suggestions_alone_are_no_labels(shared, ids, tmp_path):
    for format in FORMATS:
        part = send(shared, ids, options_of(tmp_path, format), key=format, prelabels=dict.fromkeys(ids, "cat"))
        assert take(shared, part, ids) == Returned()


@pytest.mark.parametrize("format", ("csv", "images"))
def test_labels_come_back_and_the_rest_waits(shared, ids, tmp_path, format):
    part = send(shared, ids, options_of(tmp_path, format), prelabels=dict.fromkeys(ids, "cat"))
    fill(list_of(part), ["cat", " dog ", "Skip", "", "'=sum", "unheard of"])
    found = take(shared, part, ids)
    assert found.labels == {ids[0]: "cat", ids[1]: "dog", ids[4]: "=sum", ids[5]: "unheard of"}
    assert found.skipped == {ids[2]} and not found.doubled and not found.strangers
    assert take(shared, part, ids) == found  # again
    who = registry.backend("files").standing(shared, part, ids, {})
    assert [(one.done, one.total) for one in who] == [(5, 8)]


def test_another_word_for_skipped(shared, ids, sent):
    fill(list_of(sent), ["none", "skip"])
    found = take(shared, sent, ids, skip_word="NONE")
    assert found.skipped == {ids[0]} and found.labels == {ids[1]: "skip"}


@pytest.mark.parametrize(
    "delimiter, encoding, ending", [(",", "utf-8-sig", "\r\n"), (";", "utf-8", "\n"), ("\t", "utf-8", "\r\n")]
)
def test_lists_that_spreadsheets_save(shared, ids, sent, tmp_path, delimiter, encoding, ending):
    rows = rows_of(list_of(sent))
    rows[0]["label"] = "Bär, groß"
    write(tmp_path / "saved.csv", rows, delimiter=delimiter, encoding=encoding, lineterminator=ending)
    assert take(shared, sent, ids, labels=str(tmp_path / "saved.csv")).labels == {ids[0]: "Bär, groß"}


def test_a_list_of_ids_or_of_files_alone_is_enough(shared, ids, sent, tmp_path):
    paths = paths_of(shared)
    out = tmp_path / "own.csv"
    write(out, [{"Label": "dog", "ID": ids[0]}])
    assert take(shared, sent, ids, labels=str(out)).labels == {ids[0]: "dog"}
    write(out, [{"file": paths[ids[1]], "label": "dog"}, {"file": os.path.basename(paths[ids[2]]), "label": "cat"}])
    assert take(shared, sent, ids, labels=str(out)).labels == {ids[1]: "dog", ids[2]: "cat"}


def test_an_id_of_which_a_spreadsheet_made_a_number_is_found_by_its_file(shared, ids, sent):
    rows = rows_of(list_of(sent))
    rows[0].update(id="6.5E+23", label="dog")
    write(list_of(sent), rows)
    found = take(shared, sent, ids)
    assert found.labels == {ids[0]: "dog"} and not found.strangers


def test_rows_of_no_sample_of_the_part_are_counted(shared, ids, tmp_path):
    part = send(shared, ids[:4], options_of(tmp_path))
    rows = rows_of(list_of(part))
    rows[0]["label"] = "cat"
    more = [{"id": i, "label": "dog"} for i in (ids[6], "nonsense", "")]
    other = {**rows[1], "id": "0" * 24, "label": "dog"}  # of another dataset, with a file of this one
    write(
        list_of(part), [*rows, *({**rows[0], "filepath": "", **row} for row in more), other, {**rows[0], "label": ""}]
    )
    found = take(shared, part, ids[:4])
    assert found.labels == {ids[0]: "cat"} and found.strangers == 4


@pytest.mark.parametrize("format", FORMATS)
def test_samples_that_were_deleted_since_are_no_strangers(new_dataset, tmp_path, format):
    dataset = new_dataset(3)
    ids = dataset.values("id")
    part = send(dataset, ids, options_of(tmp_path, format))
    if format == "coco":
        fill_coco(part, {i: ["cat"] for i in ids})
    else:
        fill(list_of(part), ["cat"] * 3)
    dataset.delete_samples(ids[:1])
    found = take(dataset, part, ids)
    assert found.labels == dict.fromkeys(ids, "cat") and not found.strangers


def test_labels_of_one_sample_that_differ(shared, ids, sent):
    rows = rows_of(list_of(sent))
    said = [(0, "cat"), (0, "dog"), (1, "cat"), (1, "cat"), (1, ""), (2, "skip"), (2, "dog")]
    write(list_of(sent), [{**rows[n], "label": word} for n, word in said])
    found = take(shared, sent, ids)
    assert found.doubled == {ids[0]: ["cat", "dog"], ids[2]: ["skip", "dog"]}
    assert found.labels == {ids[1]: "cat"} and not found.skipped


@pytest.mark.parametrize("format", FORMATS)
def test_files_of_the_same_name_in_different_folders(new_dataset, digits, tmp_path, format):
    paths = []
    for folder, digit in (("a", digits[0]), ("b", digits[1])):
        (tmp_path / folder).mkdir()
        paths.append(shutil.copy(digit, tmp_path / folder / "same.png"))
    dataset = new_dataset(0, paths)
    ids = dataset.values("id")
    part = send(dataset, ids, options_of(tmp_path, format))
    assert part.receipt["exported"] == 2
    out = tmp_path / "own.csv"
    if format == "csv":
        names = [str(path) for path in paths]
    else:
        names = [row["file"] for row in rows_of(tmp_path / "out" / "elfs-r0" / "manifest.csv")]
        contents = [(tmp_path / "out" / "elfs-r0" / name).read_bytes() for name in names]
        assert contents == [open(path, "rb").read() for path in paths]
    write(out, [{"file": names[1], "label": "dog"}, {"file": names[0], "label": "cat"}])
    assert take(dataset, part, ids, labels=str(out)).labels == {ids[0]: "cat", ids[1]: "dog"}
    write(out, [{"file": "same.png", "label": "dog"}])
    with pytest.raises(InvalidInput, match="same.png is the name of 2 different images") as caught:
        take(dataset, part, ids, labels=str(out))
    assert caught.value.field == "labels"


def test_samples_that_share_a_file_get_its_label(new_dataset, tmp_path):
    dataset = new_dataset(2)
    dataset.add_sample(fo.Sample(filepath=dataset.values("filepath")[0]))
    ids = dataset.values("id")
    part = send(dataset, ids, options_of(tmp_path, "images"))
    rows = rows_of(list_of(part))
    assert len(rows) == 3 and rows[0]["file"] == rows[2]["file"]
    out = tmp_path / "own.csv"
    write(out, [{"file": rows[0]["file"], "label": "dog"}])
    assert take(dataset, part, ids, labels=str(out)).labels == {ids[0]: "dog", ids[2]: "dog"}


def test_a_folder_with_the_filled_files(shared, ids, tmp_path):
    part = send(shared, ids, options_of(tmp_path))
    (tmp_path / "back").mkdir()
    filled = shutil.copy(list_of(part), tmp_path / "back")
    fill(filled, ["dog"])
    assert take(shared, part, ids, labels=str(tmp_path / "back")).labels == {ids[0]: "dog"}
    folder = send(shared, ids, options_of(tmp_path, "images"))
    filled = shutil.copytree(folder.receipt["path"], tmp_path / "back" / "elfs-r0")
    fill(filled / "manifest.csv", ["cat"])
    for place in (tmp_path / "back", filled):
        assert take(shared, folder, ids, labels=str(place)).labels == {ids[0]: "cat"}


BAD_LISTS = {
    b"": "cannot be read: empty",
    b"\n\n": "is empty",
    b"id,prelabel\n{0},cat\n": "has no column named label",
    b"name,label\n{0},cat\n": "has no column named id, nor one named file",
    b"id,label,label\n{0},cat,dog\n": "has two columns named label",
    b"id,label\n{0},cat,dog\n": "line 2: more values than columns",
    b'id,label\n{0},"cat\n': "line 2: not a CSV file",
    b'id,label\n{0},"cat" dog\n': "line 2: not a CSV file",
    b"id,label\n{0},B\xe4r\n": "line 2: not in UTF-8",
    "id,label\n{0},Bär\n".encode("utf-16"): "NUL characters",
    b"id,label\n{0},\0\n": "NUL characters",
    b"id,label\n{0}," + b"x" * 200_000: "line 2: not a CSV file",
}


@pytest.mark.parametrize("content", BAD_LISTS)
def test_lists_that_cannot_be_read_are_refused_in_words(shared, ids, sent, tmp_path, content):
    path = tmp_path / "bad.csv"
    path.write_bytes(content.replace(b"{0}", ids[0].encode()))
    with pytest.raises(InvalidInput, match=BAD_LISTS[content]) as caught:
        take(shared, sent, ids, labels=str(path))
    assert caught.value.field == "labels" and str(path) in str(caught.value)


def test_a_list_that_is_not_there(shared, ids, sent, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for given in (str(tmp_path / "none.csv"), str(tmp_path / "pipe"), str(tmp_path), "relative.csv", 7):
        with pytest.raises(InvalidInput) as caught:
            take(shared, sent, ids, labels=given)
        assert caught.value.field == "labels"
    os.unlink(sent.receipt["path"])
    with pytest.raises(InvalidInput, match="not found. Give the path of the file with the labels"):
        take(shared, sent, ids)


def test_a_part_that_was_not_sent(shared, ids):
    with pytest.raises(ElfsError, match="was not sent to files"):
        take(shared, SentPart("other", 8), ids)


def test_paths_that_are_no_text_come_back(new_dataset, digits, tmp_path):
    odd = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xff.png")
    shutil.copy(digits[0], odd)
    dataset = new_dataset(1)
    dataset_paths = {dataset.values("id")[0]: odd}
    # MongoDB keeps no such path, but a folder that is copied from another system may hold one.
    from elfs_plugin.runs.rounds.file_batches import Batch, write_batch
    from elfs_plugin.runs.rounds.label_files import Known, read_labels

    out = tmp_path / "list.csv"
    assert write_batch(Batch(dataset_paths), "csv", out) == (1, {})
    content = out.read_bytes()
    out.write_bytes(content.replace(b",,", b",,dog"))
    assert read_labels(out, Known(dataset_paths)) == [(dataset.values("id"), "dog")]


# Taking back: COCO


def fill_coco(part, said, change=lambda content: None, name="labels.json"):
    """Adds annotations as a tool would: with boxes, under new ids."""
    path = f"{part.receipt['path']}/{name}"
    content = json.loads(open(path).read())
    categories = {category["name"]: category["id"] for category in content["categories"]}
    images = {image["sample_id"]: image["id"] for image in content["images"]}
    for i, words in said.items():
        for word in words:
            category = categories.setdefault(word, len(categories) + 1)
            box = {"id": len(content["annotations"]) + 1, "bbox": [0, 0, 3, 3], "iscrowd": 0}
            content["annotations"].append({**box, "image_id": images[i], "category_id": category})
    content["categories"] = [{"id": number, "name": name} for name, number in categories.items()]
    change(content)
    with open(path, "w") as file:
        json.dump(content, file)


@pytest.fixture
def coco(shared, ids, tmp_path):
    return send(shared, ids, options_of(tmp_path, "coco"), prelabels=dict.fromkeys(ids, "cat"))


def test_categories_of_annotations_are_labels(shared, ids, coco):
    fill_coco(coco, {ids[0]: ["cat"], ids[1]: ["dog", "dog"], ids[2]: ["cat", "dog"], ids[3]: ["skip"]})
    found = take(shared, coco, ids)
    assert found.labels == {ids[0]: "cat", ids[1]: "dog"}
    assert found.doubled == {ids[2]: ["cat", "dog"]} and found.skipped == {ids[3]}
    assert [(one.done, one.total) for one in registry.backend("files").standing(shared, coco, ids, {})] == [(4, 8)]


def test_a_tool_that_drops_our_ids_and_numbers_anew(shared, ids, coco):
    def change(content):
        content["images"].reverse()
        for image in content["images"]:
            del image["sample_id"]
            image["id"] = f"image {image['id']}"
        for annotation in content["annotations"]:
            annotation["image_id"] = f"image {annotation['image_id']}"

    fill_coco(coco, {ids[0]: ["cat"], ids[5]: ["dog"]}, change)
    assert take(shared, coco, ids).labels == {ids[0]: "cat", ids[5]: "dog"}


def test_annotations_of_no_image_of_the_part_are_counted(shared, ids, coco):
    def change(content):
        content["annotations"][0]["image_id"] = 999
        content["images"][1]["sample_id"] = "0" * 24

    fill_coco(coco, {ids[0]: ["cat"], ids[1]: ["dog"], ids[2]: ["dog"]}, change)
    found = take(shared, coco, ids)
    assert found.strangers == 2 and found.labels == {ids[2]: "dog"}


BAD_COCO = {
    "{": "is no JSON file",
    "[]": "is no COCO file",
    "{}": "has no list of 'categories'",
    '{"categories": [], "images": []}': "has no list of 'annotations'",
    '{"categories": [], "images": [3], "annotations": []}': "has no list of 'images'",
    '{"categories": [], "images": [{}], "annotations": []}': "one of the 'images' has no 'id'",
    '{"categories": [], "images": [], "annotations": [{"image_id": 1, "category_id": 4}]}': "has the category 4",
    '{"categories": [{"id": 4}], "images": [], "annotations": [{"image_id": 1, "category_id": 4}]}': "the category 4",
    '{"categories": [], "images": [], "annotations": [{"image_id": 1}]}': "has no 'category_id'",
    "[" * 100_000: "is no JSON file",
}


@pytest.mark.parametrize("content", BAD_COCO)
def test_coco_that_cannot_be_read_is_refused_in_words(shared, ids, coco, tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(InvalidInput, match=BAD_COCO[content]) as caught:
        take(shared, coco, ids, labels=str(path))
    assert caught.value.field == "labels"


def test_suggestions_cannot_be_taken_for_labels_by_mistake(shared, ids, coco):
    with pytest.raises(InvalidInput, match="is no COCO file with labels"):
        take(shared, coco, ids, labels=f"{coco.receipt['path']}/prelabels.json")


def test_coco_in_another_encoding(shared, ids, coco, tmp_path):
    path = tmp_path / "bad.json"
    path.write_bytes('{"a": "ä"}'.encode("latin-1"))
    with pytest.raises(InvalidInput, match="is not in UTF-8"):
        take(shared, coco, ids, labels=str(path))


# Many


def test_ten_thousand_rows(new_dataset, digits, tmp_path):
    dataset = new_dataset(0)
    dataset.add_samples([fo.Sample(filepath=str(digits[n % 500])) for n in range(10_000)])
    ids = dataset.values("id")[::-1]
    start = time.perf_counter()
    part = send(dataset, ids, options_of(tmp_path))
    fill(list_of(part), ["cat"] * 9_999)
    found = take(dataset, part, ids)
    assert time.perf_counter() - start < 20  # about one second on an idle machine
    assert len(found.labels) == 9_999 and ids[-1] not in found.labels
    assert [row["id"] for row in rows_of(list_of(part))] == ids
