"""What samples are called: images, or the rows of another dataset that stand in their place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """What samples are called: ``one``, ``many``."""

    one: str
    many: str

    def count(self, number: int) -> str:
        """``1 image``, ``1,200 images``."""
        return f"{number:,} {self.one if number == 1 else self.many}"


@dataclass(frozen=True)
class Words:
    """How a kind of row is spoken of: ``noun``; ``parent``, what a row belongs to; ``found_in``, what has such rows."""

    noun: Noun
    parent: Noun
    found_in: str


IMAGE = Noun("image", "images")

KINDS = {
    "frames": Words(Noun("frame", "frames"), Noun("video", "videos"), "a dataset of videos"),
    "groups": Words(Noun("group", "groups"), Noun("group", "groups"), "a grouped dataset"),
    "objects": Words(Noun("object", "objects"), Noun("image", "images"), "a dataset with detections"),
}
"""The kinds of rows by name."""
