"""What a page is made of; how each of them looks is its template's affair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from attar.plugins import Exhibit

__all__ = [
    "Block",
    "Code",
    "Facts",
    "Gallery",
    "GalleryClass",
    "GallerySample",
    "Part",
    "Picture",
    "Section",
    "Table",
    "Told",
]


@dataclass(frozen=True)
class Told:
    """A paragraph.

    Attributes:
        text: The sentence or sentences.
        warning: Whether it is something to mind.
    """

    template: ClassVar[str] = "told.html"
    text: str
    warning: bool = False


@dataclass(frozen=True)
class Facts:
    """Names with values.

    Attributes:
        values: The values by name.
        large: Whether they are figures to be seen first.
    """

    template: ClassVar[str] = "facts.html"
    values: Mapping[str, str]
    large: bool = False


@dataclass(frozen=True)
class Table:
    """A table of texts, whose first column names the rows.

    Attributes:
        caption: What it shows.
        columns: Titles of the columns.
        rows: Cells, as many per row as there are columns.
        made: Names of the rows that stand out.
        folded: Whether it is opened by the reader.
    """

    template: ClassVar[str] = "table.html"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    made: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture, such as a plot.

    Attributes:
        content: A PNG or an SVG file.
        alt: What it shows, for who cannot see it.
        caption: What is to be known of it.
    """

    template: ClassVar[str] = "picture.html"
    content: bytes
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Code:
    """Something to type, or a file.

    Attributes:
        text: The text.
        caption: What it does.
        folded: Whether it is opened by the reader.
    """

    template: ClassVar[str] = "code.html"
    text: str
    caption: str
    folded: bool = False


@dataclass(frozen=True)
class GallerySample:
    """A sample that is shown.

    Attributes:
        name: What it is called for who cannot see it.
        exhibit: Its picture and sound.
        words: What it is in words, or "".
        nearest: The real samples nearest to it, in words.
    """

    name: str
    exhibit: Exhibit = field(default_factory=Exhibit)
    words: str = ""
    nearest: tuple[str, ...] = ()


@dataclass(frozen=True)
class GalleryClass:
    """The samples of a class.

    Attributes:
        name: Name of the class.
        samples: Those that are shown.
        more: How many are not.
    """

    name: str
    samples: tuple[GallerySample, ...]
    more: int = 0


@dataclass(frozen=True)
class Gallery:
    """Samples, class by class.

    Attributes:
        classes: The classes.
        small: Whether pictures have so few points that each is drawn as a square.
    """

    template: ClassVar[str] = "gallery.html"
    classes: tuple[GalleryClass, ...]
    small: bool = False

    @property
    def single(self) -> bool:
        """Whether each class shows one sample, so that classes stand side by side."""
        return all(len(each.samples) == 1 for each in self.classes)

    @property
    def worded(self) -> bool:
        """Whether samples are told in words, which take more room than pictures."""
        return any(each.words or each.nearest for group in self.classes for each in group.samples)


Block: TypeAlias = Told | Facts | Table | Picture | Code | Gallery


@dataclass(frozen=True)
class Section:
    """A section.

    Attributes:
        title: Its title.
        blocks: What it says.
    """

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Part:
    """Everything about one run.

    Attributes:
        title: What it is.
        kind: What kind of run it is, in a word or two.
        lede: What it is in a sentence.
        sections: What is to be said.
    """

    title: str
    kind: str
    lede: str
    sections: tuple[Section, ...]
