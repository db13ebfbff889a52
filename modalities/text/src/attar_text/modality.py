"""The modality ``text``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from attar.architectures import Architecture, Family
from attar.batch import Batch
from attar.encoded import about_bad
from attar.errors import UsageError
from attar.plugins import DataInfo, DemoSpec, LoadRequest
from attar.settings import parse, unknown
from attar.tensor import Mixup, Noise, Standardize, TensorAugment, TensorModality
from attar.tensor.domain import TensorDomain, natural_values
from torch import Tensor

from attar_text.augment import Dropout, TokenDropout, TokenNoise
from attar_text.corpus import HUB, Corpus, corpus_at, corpus_of, given_corpus, hub_corpus
from attar_text.encoders import TransformerEncoder, encoder_folder
from attar_text.form import TFIDF, TextOptions, TextTask
from attar_text.networks import ARCHITECTURES
from attar_text.notes import notes
from attar_text.render import likeness_picture
from attar_text.rows import Rows
from attar_text.samples import divided, sentences, tokens
from attar_text.student import Student
from attar_text.tokens import embedded, nearest_tokens, padded

__all__ = ["TEXT", "TextModality"]

_NOTES = "480 generated sentences on 4 topics"


class TextModality(TensorModality):
    """Labeled text as vectors of a frozen encoder."""

    category = "text-classification"
    default_method = "dm"
    summary = (
        "text: CSV, TSV, JSON lines, Parquet, Hugging Face data sets, or lists, through a frozen encoder"
    )
    Options = TextOptions
    architectures = ARCHITECTURES

    def suited(self, feature: tuple[int, ...]) -> str:
        """Return logistic regression for vectors, convolutions for rows of tokens."""
        return "linear" if len(feature) == 1 else "textcnn"

    def augmentation(self, name: str, options: Any) -> TensorAugment | None:
        """Return what the options ask for: noise and dropout, of numbers or of tokens; mixup of vectors."""
        if not options.augment:
            return None
        if options.mode == "token":
            return TensorAugment((TokenNoise(), TokenDropout()))
        return TensorAugment((Noise(0.3), Dropout(), *([Mixup()] if options.mixup else [])))

    def datasets(self) -> Mapping[str, str]:
        """Return the known data sets."""
        return {"notes": _NOTES}

    def load(self, request: LoadRequest) -> TextTask:
        """Load the user's own texts, a data set of the Hub, or texts given in Python.

        Own texts are a table, a folder of tables by split, or a folder that Hugging Face's
        ``save_to_disk`` wrote.

        Raises:
            UsageError: If the data or the encoder are unknown, missing, damaged, or do not fit.
        """
        options: TextOptions = request.options
        given = _corpus(request, options, self.datasets())
        corpus = divided(given, options)
        named = {"test": given.test, "validation": given.validation}
        drawn = [part for part in named if named[part] is None and getattr(corpus, part) is not None]
        make = tokens if options.mode == "token" else sentences
        made = make(corpus, request, options)
        known = _architectures(options, made.preprocess)
        if made.name:
            # Artifacts name an encoder, and no folder of a machine.
            options = options.model_copy(update={"encoder": made.name})
        return TextTask(
            modality="text",
            name=corpus.name,
            classes=corpus.classes,
            axes=("dimension",) if options.mode == "sentence" else ("token", "dimension"),
            train=made.train,
            validation=made.validation,
            test=made.test,
            preprocess=made.preprocess,
            architectures=known,
            architecture=self.suited(made.train.feature),
            augment=self.augmentation(corpus.name, options),
            options=options.model_dump(mode="json"),
            license=corpus.license,
            registry=self.registry,
            # The artifact names it: it is no part of it.
            about={
                "encoder": dict(made.encoder),
                **({"drawn": drawn} if drawn else {}),
                **about_bad(given.skipped),
            },
            fitted=_fitted(options),
            texts=corpus.train.texts,
        )

    def read(self, raw: Any, info: DataInfo) -> Tensor:
        """Return vectors of new texts, or vectors as they are.

        Raises:
            UsageError: If they are neither, or the encoder is not at hand.
        """
        texts = [raw] if isinstance(raw, str) else raw
        if not (isinstance(texts, list | tuple) and texts and all(isinstance(each, str) for each in texts)):
            return natural_values(raw, info.feature)
        encoder = _known_encoder(info)
        if len(info.feature) == 2:
            ids = padded(encoder.token_ids(texts), info.feature[0])
            return embedded(torch.from_numpy(ids), encoder.embeddings)
        return torch.from_numpy(encoder.encode(texts)[0])

    def domain(self, info: DataInfo) -> TensorDomain:
        """Return what prepares new texts or vectors, and builds models where the data are not at hand."""
        options = parse(TextOptions, info.options, "data.options")
        preprocess = parse(Standardize, info.preprocessing, "preprocessing")
        return replace(super().domain(info), architectures=_architectures(options, preprocess))

    def render(self, batch: Batch, info: DataInfo) -> bytes:
        """Return how alike the samples are, as PNG."""
        return likeness_picture(batch.inputs.detach().cpu(), batch.labels.tolist(), info.classes)

    def described(self, batch: Batch, info: DataInfo) -> Sequence[str] | None:
        """Return the tokens nearest to each sample's rows, with their mean distance; None for vectors."""
        if len(info.feature) != 2:
            return None
        preprocess = parse(Standardize, info.preprocessing, "preprocessing")
        found = nearest_tokens(preprocess.decode(batch.inputs.detach().cpu()), _known_encoder(info))
        return [_sentence(own) for own in found]

    def demo(self, quick: bool) -> DemoSpec:
        """Return the generated sentences, distilled to one vector per topic."""
        return DemoSpec(
            data="notes",
            samples="generated sentences, as vectors of word frequencies",
            seeds=1 if quick else 3,
            settings={"steps": 100 if quick else 300, "per_class": 64},
            protocol={"networks": 1 if quick else 2},
            workers=1,
        )


def _sentence(tokens: Sequence[tuple[str, float]]) -> str:
    """Return tokens as a sentence, with their mean distance from what they stand for."""
    if not tokens:
        return "(no token)"
    return f"{' '.join(word for word, _ in tokens)} ({sum(far for _, far in tokens) / len(tokens):.2f})"


def _corpus(request: LoadRequest, options: TextOptions, known: Mapping[str, str]) -> Corpus:
    if request.given is not None:
        return given_corpus(request.given, request.data, options)
    if request.data == "notes":
        texts, labels = notes()
        return corpus_of("notes", {"train": Rows(texts, labels, "'notes'")}, "cc0-1.0")
    if request.data.startswith(HUB):
        return hub_corpus(request.data, options, download=request.download)
    path = Path(request.data)
    if path.exists():
        return corpus_at(path, options)
    sentence = unknown("data", request.data, known)
    raise UsageError(f"{sentence}, or give the path of a table, or {HUB}OWNER/NAME, with --data")


def _fitted(options: TextOptions) -> str:
    """Return what else than the preprocessing comes from the training texts."""
    if options.encoder == TFIDF:
        return "the vocabulary of TF-IDF"
    return "the number of tokens (data.length)" if options.mode == "token" and not options.length else ""


def _architectures(options: TextOptions, preprocess: Standardize) -> Mapping[str, Architecture | Family]:
    """Return the networks for data: the encoder itself too, where samples are rows of its tokens."""
    if options.mode != "token":
        return ARCHITECTURES
    student = Student(options.encoder, options.pooling, preprocess.std[0])
    return {**ARCHITECTURES, "encoder": student}


def _known_encoder(info: DataInfo) -> TransformerEncoder:
    """Return the encoder that a set was made with.

    Raises:
        UsageError: If it is not at hand, another, or none that can be had without the training texts.
    """
    options = parse(TextOptions, info.options, "data.options")
    if options.encoder == TFIDF:
        raise UsageError(
            "new texts cannot be encoded here: tfidf is fitted on the training texts, which the artifact "
            "does not hold; give vectors, or distill with a transformer as data.encoder"
        )
    folder = encoder_folder(options.encoder, download=False)
    encoder = TransformerEncoder(folder, options.encoder, options.pooling, options.normalize, options.length)
    said = info.about.get("encoder")
    if isinstance(said, Mapping) and said.get("key") not in (None, encoder.key):
        raise UsageError(
            f"the encoder {options.encoder!r} is another one than the set was made with; give the one "
            f"that was used"
        )
    return encoder


TEXT = TextModality()
"""The text modality."""
