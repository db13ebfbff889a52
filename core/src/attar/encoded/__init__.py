"""Samples in encoded files, such as images and recordings: listed, decoded once, kept in the cache."""

from attar.encoded.bad import BadOptions, about_bad
from attar.encoded.folder import FolderSource, read_folder
from attar.encoded.items import DecodedItems, DecodedSplits, MappedItems, items_of, splits_of
from attar.encoded.source import Decoder, EncodedSource, Media, heads
from attar.encoded.splits import Found, find_splits
from attar.encoded.tables import Columns

__all__ = [
    "BadOptions",
    "Columns",
    "DecodedItems",
    "DecodedSplits",
    "Decoder",
    "EncodedSource",
    "FolderSource",
    "Found",
    "MappedItems",
    "Media",
    "about_bad",
    "find_splits",
    "heads",
    "items_of",
    "read_folder",
    "splits_of",
]
