"""Labeled text: vectors of frozen encoders, networks for them, and the texts nearest to what is distilled."""

from attar_text.augment import Dropout
from attar_text.encoders import TextEncoder, TfidfEncoder, TransformerEncoder
from attar_text.form import TextOptions, TextTask
from attar_text.modality import TEXT, TextModality
from attar_text.networks import ARCHITECTURES, ResidualMLP
from attar_text.notes import notes
from attar_text.store import VectorStore

__all__ = [
    "ARCHITECTURES",
    "TEXT",
    "Dropout",
    "ResidualMLP",
    "TextEncoder",
    "TextModality",
    "TextOptions",
    "TextTask",
    "TfidfEncoder",
    "TransformerEncoder",
    "VectorStore",
    "notes",
]
