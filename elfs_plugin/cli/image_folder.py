"""The image files of a folder, and what in it is passed over, by reason."""

import os
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, field

from PIL import Image

from ..contracts import AnyPath
from ..text import is_text, printable

IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .jfi .jif .png .apng .bmp .dib .gif .tif .tiff .webp .ppm .pgm .pbm .pnm .jp2 .j2k .j2c "
    ".jpc .jpf .jpx .avif .avifs .heic .heif .hif .jxl .mpo .tga .qoi .pcx .dds".split()
)
"""Suffixes of photographs and drawings. Not every installation of Pillow reads all of them."""

SKIPPED_FOLDERS = frozenset((".git", "__MACOSX"))
"""Their images are copies of others, under other names."""

EXAMPLES = 10

UNREADABLE_NAME = "names that are not UTF-8"
UNKNOWN_KIND = "images that cannot be read here"
OTHER_FILE = "other files"
BROKEN_LINK = "links that lead nowhere"
TAKEN_ALREADY = "links to what is taken already"
CLOSED_FOLDER = "folders that cannot be opened"
SKIPPED_FOLDER = "folders of copies"

_ADVICE = {
    UNREADABLE_NAME: "Rename them: a database holds text only.",
    UNKNOWN_KIND: "Convert them to JPEG or PNG.",
    BROKEN_LINK: "Fetch the files, or remove the links.",
    CLOSED_FOLDER: "Give yourself the right to read them.",
}
_FOR_GOOD = (OTHER_FILE, TAKEN_ALREADY, SKIPPED_FOLDER)
_BY_SUFFIX = (UNKNOWN_KIND, OTHER_FILE)

_MAGIC = (
    ("JPEG", 0, b"\xff\xd8\xff"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("GIF", 0, b"GIF8"),
    ("WEBP", 8, b"WEBP"),
    ("AVIF", 4, b"ftypavif"),
)


@dataclass
class PassedOver:
    """How many entries of a folder were passed over for one reason, the first few of them, and their suffixes."""

    count: int = 0
    examples: list[str] = field(default_factory=list)
    suffixes: Counter[str] = field(default_factory=Counter)

    def add(self, path: str) -> None:
        self.count += 1
        self.suffixes[os.path.splitext(path)[1].lower() or "no suffix"] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(path)


@dataclass(frozen=True)
class FoundImages:
    """``paths`` of the images, absolute and sorted; ``passed_over`` reason -> :class:`PassedOver`."""

    folder: str
    paths: list[str]
    passed_over: dict[str, PassedOver]

    def sentences(self) -> list[str]:
        """What was passed over, a sentence for each reason; the user can mend those that come first."""
        reasons = sorted(self.passed_over, key=lambda reason: (reason in _FOR_GOOD, reason))
        return [self._sentence(reason, self.passed_over[reason]) for reason in reasons]

    def _sentence(self, reason, passed):
        if reason in _BY_SUFFIX:
            most = sorted(passed.suffixes.items(), key=lambda item: (-item[1], item[0]))[:EXAMPLES]
            listed = [f"{printable(suffix)} {count:,}" for suffix, count in most]
            more = len(passed.suffixes) - len(listed)
        else:
            listed = [printable(os.path.relpath(path, self.folder)) for path in passed.examples]
            more = passed.count - len(listed)
        rest = f", and {more:,} more" if more else ""
        advice = f" {_ADVICE[reason]}" if reason in _ADVICE else ""
        return f"Passed over {passed.count:,}: {reason} ({', '.join(listed)}{rest}).{advice}"


def find_images(folder: AnyPath) -> FoundImages:
    """The :class:`FoundImages` of ``folder`` and the folders in it.

    Linked folders are followed, each real folder once, so that links in a circle end; a link to a folder above the
    given one is not. A file is an image by its suffix; by its first bytes when it has no suffix, or one that is not
    readable here.

    Raises:
        OSError: when the folder itself cannot be listed
    """
    folder = os.path.realpath(folder)
    os.listdir(folder)  # raises
    return _Walk(folder).found()


class _Walk:
    def __init__(self, folder):
        self._folder = folder
        self._readable = readable_suffixes()
        self._paths, self._links = [], []
        self._passed = {}

    def found(self):
        # Links last: what is in the folder itself goes by its own name.
        seen, folders = set(), [self._folder]
        linked: list[str] = []
        while folders or linked:
            place = folders.pop() if folders else linked.pop(0)
            try:
                about = os.stat(place)
                with os.scandir(place) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError:
                self._pass(CLOSED_FOLDER, place)
                continue
            if (about.st_dev, about.st_ino) in seen or self._is_above(place):
                self._pass(TAKEN_ALREADY, place)
                continue
            seen.add((about.st_dev, about.st_ino))
            for entry in entries:
                self._sort(entry, folders, linked)
        self._take_links()
        return FoundImages(self._folder, sorted(self._paths), self._passed)

    def _sort(self, entry, folders, linked):
        try:
            is_folder, is_link, is_file = entry.is_dir(), entry.is_symlink(), entry.is_file()
        except OSError:  # links in a circle
            is_folder, is_link, is_file = False, True, False
        if is_folder and entry.name in SKIPPED_FOLDERS:
            self._pass(SKIPPED_FOLDER, entry.path)
        elif is_folder:
            (linked if is_link else folders).append(entry.path)
        elif not is_file:
            self._pass(BROKEN_LINK if is_link else OTHER_FILE, entry.path)
        elif reason := self._reason(entry.path):
            self._pass(reason, entry.path)
        else:
            (self._links if is_link else self._paths).append(entry.path)

    def _reason(self, path):
        """Why a file is passed over, or None."""
        suffix = os.path.splitext(path)[1].lower()
        like = next((known for known in (".jpeg", ".jpg", ".png", ".webp") if suffix.startswith(known)), None)
        if suffix in IMAGE_SUFFIXES:
            reason = None if suffix in self._readable or _format(path) in Image.OPEN else UNKNOWN_KIND
        else:  # 'photo.jpg_large', as browsers save them, and names without a suffix
            reason = None if (like or not suffix) and _format(path) in Image.OPEN else OTHER_FILE
        return UNREADABLE_NAME if reason is None and not is_text(path) else reason

    def _is_above(self, place):
        real = os.path.realpath(place)
        return real != self._folder and self._folder.startswith(os.path.join(real, ""))

    def _take_links(self):
        """Takes linked files, but for those that lead to a file that is taken itself."""
        if not self._links:
            return
        taken = {(about.st_dev, about.st_ino) for about in map(os.stat, self._paths)}
        for path in self._links:
            about = os.stat(path)
            if (about.st_dev, about.st_ino) in taken:
                self._pass(TAKEN_ALREADY, path)
            else:
                self._paths.append(path)

    def _pass(self, reason, path):
        self._passed.setdefault(reason, PassedOver()).add(path)


def readable_suffixes() -> Set[str]:
    """Those of :data:`IMAGE_SUFFIXES` that this installation of Pillow reads."""
    Image.init()
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return IMAGE_SUFFIXES & known


def _format(path):
    """Pillow's name of what the first bytes of a file say it is, or None."""
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError:
        return None
    return next((kind for kind, at, magic in _MAGIC if start[at : at + len(magic)] == magic), None)
