"""What makes vectors of texts."""

from attar_text.encoders.base import TextEncoder
from attar_text.encoders.folder import own_pooling
from attar_text.encoders.tfidf import TfidfEncoder
from attar_text.encoders.transformer import (
    TransformerEncoder,
    encoder_folder,
    pooled,
    transformer_parts,
)

__all__ = [
    "TextEncoder",
    "TfidfEncoder",
    "TransformerEncoder",
    "encoder_folder",
    "own_pooling",
    "pooled",
    "transformer_parts",
]
