"""Frequencies of words, reduced: the encoder that needs no download."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from attar.errors import UsageError
from numpy.typing import NDArray

__all__ = ["TfidfEncoder"]


class TfidfEncoder:
    """Term frequencies times inverse document frequencies, projected by a truncated SVD.

    Words and pairs of words that occur in two training texts or more count.

    Args:
        texts: The training texts that it is fitted on, when it is first used.
        width: Numbers of a vector; less where the texts have fewer words.
        normalize: Whether vectors have length 1.

    References:
        Deerwester et al., "Indexing by Latent Semantic Analysis", JASIS 1990.
    """

    length = 0

    def __init__(self, texts: Sequence[str], width: int, normalize: bool) -> None:
        self._texts = texts
        self._width = width
        self._normalize = normalize

    @cached_property
    def key(self) -> str:
        """Hash of the training texts and the settings."""
        digest = hashlib.blake2b(json.dumps([self._width, self._normalize]).encode(), digest_size=16)
        for text in self._texts:
            digest.update(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest())
        return digest.hexdigest()

    @property
    def about(self) -> Mapping[str, Any]:
        """Its name and settings; the words that it knows are the training texts'."""
        return {"name": "tfidf", "width": self._width, "normalize": self._normalize, "key": self.key}

    @cached_property
    def _fitted(self) -> tuple[Any, Any]:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        counts = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
        try:
            values = counts.fit_transform(self._texts)
        except ValueError as error:
            raise UsageError(
                "no word of two or more letters is in two of the training texts, so that tfidf has nothing "
                "to count; give more texts, or name a transformer with --set data.encoder=NAME"
            ) from error
        width = min(self._width, min(values.shape) - 1)
        if width < 1:
            raise UsageError(
                "the training texts have one word in common; give more texts, or name a transformer"
            )
        return counts, TruncatedSVD(width, random_state=0).fit(values)

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return vectors ``(n, width)`` and the number of words that it knows of each text."""
        counts, projection = self._fitted
        values = counts.transform(texts)
        vectors = projection.transform(values).astype(np.float32)
        if self._normalize:
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return vectors, np.diff(values.indptr).astype(np.int32)
