"""The samples of a corpus: one vector of each text, or a row of vectors, one for each token."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from attar.cache import cache_root
from attar.errors import UsageError
from attar.plugins import LoadRequest
from attar.tensor import ArrayItems, Items, Standardize
from attar.tensor.splits import split
from numpy.typing import NDArray

from attar_text.corpus import Corpus, Texts
from attar_text.encoders import TextEncoder, TfidfEncoder, TransformerEncoder, encoder_folder
from attar_text.form import TFIDF, TextOptions
from attar_text.items import VectorItems
from attar_text.store import VectorStore
from attar_text.tokens import TokenItems, padded, token_scale, usual_length

__all__ = ["Samples", "divided", "sentences", "tokens"]

logger = logging.getLogger(__name__)

_SECTION = "plugins"


def divided(corpus: Corpus, options: TextOptions) -> Corpus:
    """Return the corpus with the splits that it lacks drawn, class by class."""

    def rows(texts: Texts) -> ArrayItems:
        return ArrayItems(np.arange(len(texts.labels))[:, None], texts.labels, corpus.name)

    if corpus.validation is not None and corpus.test is not None:
        return corpus
    test = None if corpus.test is None else rows(corpus.test)
    parts = split(rows(corpus.train), test, len(corpus.classes), options)

    def chosen(items: Any) -> Texts:
        return corpus.train.some(items.read(torch.arange(len(items.labels)))[:, 0].numpy())

    return replace(
        corpus,
        train=chosen(parts.train),
        validation=None if parts.validation is None else chosen(parts.validation),
        test=corpus.test or chosen(parts.test),
    )


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The samples of a corpus.

    Attributes:
        train: Training samples.
        validation: Held-out samples, or None.
        test: Test samples.
        preprocess: From them to what models take.
        encoder: What made them, as JSON values.
        name: What the transformer is called, or "".
    """

    train: Items
    validation: Items | None
    test: Items
    preprocess: Standardize
    encoder: Mapping[str, Any]
    name: str


def _transformer(request: LoadRequest, options: TextOptions) -> TransformerEncoder:
    folder = encoder_folder(options.encoder, download=request.download)
    return TransformerEncoder(folder, options.encoder, options.pooling, options.normalize, options.length)


def sentences(corpus: Corpus, request: LoadRequest, options: TextOptions) -> Samples:
    """Return one vector of each text, out of the cache where it is there."""
    fitted = options.encoder == TFIDF
    encoder: TextEncoder = (
        TfidfEncoder(corpus.train.texts, options.width, options.normalize)
        if fitted
        else _transformer(request, options)
    )
    key = f"{encoder.key}-{options.stored}"
    store = VectorStore(cache_root() / _SECTION / f"text-{key}", options.stored)

    def vectors(texts: Texts, split: str) -> VectorItems:
        name = f"{corpus.name} ({split})"
        found = store.all(texts.texts, encoder.encode, doing=f"encoding {name}", show=request.show)
        _tell_longer(
            int((found.tokens > encoder.length).sum()) if encoder.length else 0, texts, name, encoder.length
        )
        return VectorItems(found, texts, name, key)

    train = vectors(corpus.train, "train")
    return Samples(
        train=train,
        validation=None if corpus.validation is None else vectors(corpus.validation, "validation"),
        test=vectors(_test(corpus), "test"),
        preprocess=Standardize.fit(train, axis=0),
        encoder=encoder.about,
        name="" if fitted else str(encoder.about["name"]),
    )


def tokens(corpus: Corpus, request: LoadRequest, options: TextOptions) -> Samples:
    """Return the rows of input embeddings of each text."""
    if options.encoder == TFIDF:
        raise UsageError(
            "tfidf has no embeddings of tokens; name a transformer, as in --set data.encoder=OWNER/NAME, or "
            "leave out data.mode=token"
        )
    encoder = _transformer(request, options)
    own = encoder.token_ids(corpus.train.texts)
    length = options.length or usual_length(own, encoder.length)
    table = encoder.embeddings

    def rows(texts: Texts, split: str) -> tuple[TokenItems, NDArray[np.int32]]:
        found = own if split == "train" else encoder.token_ids(texts.texts)
        _tell_longer(sum(len(each) > length for each in found), texts, f"{corpus.name} ({split})", length)
        ids = padded(found, length)
        return TokenItems(ids, table, texts, encoder.key), ids

    train, ids = rows(corpus.train, "train")
    return Samples(
        train=train,
        validation=None if corpus.validation is None else rows(corpus.validation, "validation")[0],
        test=rows(_test(corpus), "test")[0],
        preprocess=token_scale(ids, table),
        encoder=encoder.about,
        name=encoder.name,
    )


def _test(corpus: Corpus) -> Texts:
    if corpus.test is None:
        raise RuntimeError("a divided corpus has test texts")
    return corpus.test


def _tell_longer(longer: int, texts: Texts, name: str, length: int) -> None:
    if longer:
        logger.warning(
            "%d of %d texts of %s are longer than the %d tokens that are read of each",
            longer,
            len(texts.texts),
            name,
            length,
        )
