"""Names are compared and refused as FiftyOne stores them."""

import pytest

from elfs_plugin.errors import InvalidInput, NameTaken
from elfs_plugin.runs import names


@pytest.fixture(scope="module")
def views(new_dataset):
    """A dataset with the saved views 'Spare View' and 'mine', and the tag 'used'."""
    dataset = new_dataset(3)
    dataset.save_view("Spare View", dataset.limit(1))
    dataset.save_view("mine", dataset.limit(1))
    dataset.limit(1).tag_samples("used")
    return dataset


@pytest.mark.parametrize("name", ["spare-view", "SPARE VIEW", "spare_view", " Spare.View! ", "Spare View"])
def test_a_view_of_the_same_slug_is_taken(views, name):
    with pytest.raises(NameTaken, match="A saved view 'Spare View' already exists") as caught:
        names.check_view_name(views, name, mine=["mine"])
    assert caught.value.field == "view_name"


@pytest.mark.parametrize("name", ["日本語", "///", "...", " ", "", "★", "\ud800", "x" * 201, 7, None, ["a"], b"a"])
def test_a_name_that_fiftyone_cannot_take(views, name):
    with pytest.raises(InvalidInput, match="Latin letter or digit|is a text|at most 200") as caught:
        names.check_view_name(views, name)
    assert "slug" not in str(caught.value)


def test_ones_own_view_is_saved_again_under_its_own_name_only(views):
    names.check_view_name(views, "mine", mine=["mine"])
    names.check_view_name(views, "another", mine=["mine"])
    with pytest.raises(NameTaken, match="has saved its view as 'mine'.*Write 'mine' to save it again"):
        names.check_view_name(views, "Mine", mine=["mine"])
    with pytest.raises(NameTaken, match="already exists"):
        names.check_view_name(views, "mine")


def test_a_view_that_another_process_has_saved_is_seen(views):
    views.list_saved_views()
    from fiftyone.core import odm

    late = odm.SavedViewDocument(dataset_id=views._doc.id, name="Late", slug="late", view_stages=[])
    late.save(upsert=True)
    odm.get_db_conn().datasets.update_one({"_id": views._doc.id}, {"$push": {"saved_views": late.id}})
    try:
        with pytest.raises(NameTaken, match="'Late'"):
            names.check_view_name(views, "LATE")
    finally:
        late.delete()


def test_a_free_name_for_the_view_of_a_tag(views):
    assert names.free_view_name(views, "to_label", "elfs") == "to_label"
    assert names.free_view_name(views, "日本語", "elfs") == "日本語 (elfs)"
    assert names.free_view_name(views, "spare-view", "elfs") == "spare-view (elfs)"
    assert names.free_view_name(views, "mine", "elfs", mine=["mine"]) == "mine"
    assert names.free_view_name(views, "t" * 300, "elfs") == "elfs coreset 1"
    views.save_view("日本語 (elfs)", views.limit(1))
    assert names.free_view_name(views, "日本語", "elfs", mine=["日本語 (elfs)"]) == "日本語 (elfs)"
    assert names.free_view_name(views, "中文", "elfs", mine=["日本語 (elfs)"]) == "elfs coreset 1"
    views.delete_saved_view("日本語 (elfs)")


def test_tags(views):
    for tag in ("new", "日本語", "$where", "a, b", "used"):
        names.check_tag(views, tag, mine=["used"])
    with pytest.raises(NameTaken, match="'used' is already in use"):
        names.check_tag(views, "used")
    for tag in ("", "  ", "\u200b", "\ud800", "x" * 1001, 5, ["a"], None):
        with pytest.raises(InvalidInput, match="A tag|characters"):
            names.check_tag(views, tag)


@pytest.mark.parametrize("name", ["_e", "a.b", "a b", "1st", "", "a$b", "x\0", "e" * 101, "й" * 51, 7, None, ["e"]])
def test_names_of_runs_and_fields(name):
    for check, what in ((names.check_key_text, "a run key"), (names.check_field_name, "a field name")):
        with pytest.raises(InvalidInput, match=f"cannot be {what}|too long for {what}") as caught:
            check(name)
        assert len(str(caught.value)) < 250


@pytest.mark.parametrize("name", ["id", "tags", "filepath", "pk", "get_field", "clean", "STRICT", "to_mongo", "frames"])
def test_names_that_would_break_a_sample(name):
    for check in (names.check_key_text, names.check_field_name):
        with pytest.raises(InvalidInput, match="a meaning of its own in FiftyOne"):
            check(name)


def test_names_that_are_fine():
    for name in ("elfs", "elfs_2", "ключ", "e" * 100, "Class"):
        names.check_key_text(name)
        names.check_field_name(name)
    with pytest.raises(InvalidInput, match="hold the other results of the run 'elfs'"):
        names.check_field_name("elfs", key="elfs")
