"""How texts are loaded, and what is known of them then."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

from attar.encoded import BadOptions
from attar.tensor import ItemsView, TensorTask
from attar.tensor.splits import SplitOptions
from pydantic import Field
from torch import Tensor

__all__ = ["TFIDF", "PoolingName", "TextOptions", "TextTask"]

PoolingName: TypeAlias = Literal["auto", "mean", "cls", "last", "max", "sqrt", "weighted"]
"""What of the tokens' states becomes the vector of a text."""

TFIDF = "tfidf"
"""The encoder that is fitted on the training texts and needs no download."""


class TextOptions(SplitOptions, BadOptions):
    """How texts are loaded, and what networks see of them.

    Attributes:
        mode: ``sentence`` makes one vector of each text, ``token`` a row of vectors, one for each
            token: the input embeddings of a transformer.
        encoder: What makes vectors of texts: ``tfidf``, fitted on the training texts, or a
            transformer, as a folder or by its name on the Hugging Face Hub.
        pooling: Of a transformer's last states, the ``mean`` over tokens, that of the first token (``cls``)
            or of the ``last``, the largest value of each place (``max``), the sum over the root of the
            number of tokens (``sqrt``), or a mean in which later tokens weigh more (``weighted``);
            ``auto`` takes what the encoder's folder says, else the mean.
        normalize: Whether vectors have length 1.
        length: Tokens of a text that are read; 0 for as many as the encoder takes, and of mode
            ``token`` as many as 19 of 20 training texts have, at most 64.
        width: Numbers of a vector of ``tfidf``; a transformer has its own.
        stored: Type that vectors are kept in, in the cache.
        augment: Whether networks are trained, and sets are matched, with noise and dropout.
        mixup: Whether vectors are also mixed with others of their class.
        text_column: Column of the texts, by name, or by number where a table has no header; "" chooses.
        label_column: Column of the labels likewise.
    """

    mode: Literal["sentence", "token"] = "sentence"
    encoder: str = TFIDF
    pooling: PoolingName = "auto"
    normalize: bool = True
    length: int = Field(default=0, ge=0, le=100_000)
    width: int = Field(default=256, ge=2, le=4096)
    stored: Literal["float32", "float16"] = "float32"
    augment: bool = True
    mixup: bool = False
    text_column: str = ""
    label_column: str = ""


@dataclass(frozen=True, kw_only=True, repr=False)
class TextTask(TensorTask):
    """Texts as vectors, or as rows of vectors of tokens.

    Attributes:
        texts: The training texts, in the order of the training rows.
    """

    texts: tuple[str, ...]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of texts, labels, classes and encoder; statistics have last digits of the machine."""
        digest = hashlib.blake2b(json.dumps([self.classes, self.about["encoder"]]).encode(), digest_size=16)
        for items in (self.train, self.validation):
            digest.update((items.fingerprint() if items is not None else "none").encode())
        return digest.hexdigest()

    @property
    def averages(self) -> bool:
        """Whether the mean of samples is a sample: so for vectors; words of two texts share no place."""
        return len(self.feature) == 1

    def caption(self, row: int) -> str:
        """Return a training text."""
        return self.texts[row]

    def subset(self, rows: Tensor) -> TextTask:
        """Return the task with fewer training rows, and their texts."""
        return replace(
            self, train=ItemsView(self.train, rows), texts=tuple(self.texts[row] for row in rows.tolist())
        )
