"""Samples in encoded files, such as images and recordings: listed, decoded once, kept in the cache."""

from attar.encoded.folder import FolderSource, read_folder
from attar.encoded.items import DecodedItems, MappedItems, items_of
from attar.encoded.source import Decoder, EncodedSource, Media
from attar.encoded.splits import Found, find_splits
from attar.encoded.tables import Columns

__all__ = [
    "Columns",
    "DecodedItems",
    "Decoder",
    "EncodedSource",
    "FolderSource",
    "Found",
    "MappedItems",
    "Media",
    "find_splits",
    "items_of",
    "read_folder",
]
