"""Frozen transformers, from a folder or the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attar.devices import find_device
from attar.errors import UsageError
from numpy.typing import NDArray
from torch import Tensor

from attar_text.encoders.folder import own_pooling, read_settings
from attar_text.form import PoolingName

__all__ = ["TransformerEncoder", "encoder_folder", "pooled", "transformer_parts"]

_WANTED = ("*.json", "*.txt", "*.model", "model*.safetensors", "1_Pooling/*")
_TOKENIZERS = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
)
_PIECES, _PIECE = 64, 65_536
_USUAL_LENGTH = 512


def encoder_folder(name: str, *, download: bool) -> Path:
    """Return the folder of an encoder.

    Args:
        name: A folder, or a name on the Hugging Face Hub.
        download: Whether it may be fetched from the Hub.

    Raises:
        UsageError: If it is not at hand and may not be fetched, or lacks a file.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        folder = _fetched(name, download)
    for what, there in (
        ("config.json", (folder / "config.json").is_file()),
        ("tokenizer (tokenizer.json or vocab.txt)", any((folder / each).is_file() for each in _TOKENIZERS)),
        ("weights (model.safetensors)", bool(list(folder.glob("model*.safetensors")))),
    ):
        if not there:
            raise UsageError(
                f"the encoder {name!r} has no {what}; give a folder that a transformers model was saved in"
            )
    return folder


def _fetched(name: str, download: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    try:
        return Path(
            snapshot_download(name, allow_patterns=list(_WANTED), local_files_only=offline or not download)
        )
    except HFValidationError as error:
        raise UsageError(
            f"{name!r} is neither a folder nor the name of an encoder; give 'tfidf', a folder, or OWNER/NAME"
        ) from error
    except LocalEntryNotFoundError as error:
        fix = "unset HF_HUB_OFFLINE and fetch it with --download" if offline else "fetch it with --download"
        raise UsageError(
            f"the encoder {name!r} is not on this machine; {fix}, or give the folder of a copy"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"the encoder {name!r} cannot be fetched ({reason}); check the name and the network"
        ) from error


def _content(folder: Path) -> str:
    """Return a hash of the files of an encoder: of large ones, pieces all over them."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).as_posix()
        if not path.is_file() or inside.startswith(".") or path.suffix.lower() in (".md", ".png"):
            continue
        size = path.stat().st_size
        digest.update(f"{inside}\0{size}\n".encode())
        with open(path, "rb") as file:
            if size <= _PIECES * _PIECE:
                digest.update(file.read())
                continue
            for number in range(_PIECES):
                file.seek((size - _PIECE) * number // (_PIECES - 1))
                digest.update(file.read(_PIECE))
    return digest.hexdigest()


def pooled(states: Tensor, mask: Tensor, pooling: PoolingName) -> Tensor:
    """Return a vector of each text.

    Args:
        states: States of the tokens, ``(n, tokens, width)``.
        mask: 1 for tokens, 0 for padding, ``(n, tokens)``.
        pooling: ``mean``; ``cls`` and ``last``, of one token; ``max``, of each place; ``sqrt``, the sum over
            the root of how many there are; ``weighted``, a mean in which later tokens weigh more.

    Returns:
        Vectors ``(n, width)``.
    """
    if pooling == "cls":
        return states[torch.arange(len(states)), mask.argmax(1)]
    if pooling == "last":
        places = torch.arange(mask.shape[1]).expand_as(mask)
        return states[torch.arange(len(states)), (places * mask).argmax(1)]
    weights = mask.to(states)[:, :, None]
    if pooling == "max":
        return states.masked_fill(weights == 0, -1e9).amax(1)
    if pooling == "weighted":
        weights = weights * torch.arange(1, mask.shape[1] + 1).to(states)[None, :, None]
    sizes = weights.sum(1).clamp(min=1)
    return (states * weights).sum(1) / (sizes.sqrt() if pooling == "sqrt" else sizes)


class TransformerEncoder:
    """A transformer whose last states are pooled; loaded when it is first used.

    Args:
        folder: Its folder, with weights as safetensors; code that a folder holds is never run.
        name: What it is called.
        pooling: What of the states becomes the vector.
        normalize: Whether vectors have length 1.
        length: Tokens that are read; 0 for as many as it takes.

    Raises:
        UsageError: If the folder is damaged.
    """

    def __init__(self, folder: Path, name: str, pooling: PoolingName, normalize: bool, length: int) -> None:
        self._folder = folder
        # An artifact names its encoder, and no folder of a machine.
        self.name = folder.resolve().name if Path(name).expanduser().is_dir() else name
        self._normalize = normalize
        self.pooling: PoolingName = pooling if pooling != "auto" else own_pooling(folder)
        self.length = length or _own_length(folder)

    @cached_property
    def key(self) -> str:
        """Hash of the files and the settings."""
        text = json.dumps([_content(self._folder), self.pooling, self._normalize, self.length])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    @property
    def about(self) -> Mapping[str, Any]:
        """Its name, settings and hash."""
        return {
            "name": self.name,
            "pooling": self.pooling,
            "normalize": self._normalize,
            "length": self.length,
            "key": self.key,
        }

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        tokenizer, model = _parts(self._folder, self.name, dtype=torch.float32)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        return tokenizer, model.eval().requires_grad_(False).to(find_device("auto"))

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """Return vectors ``(n, width)`` and the number of tokens that each text has."""
        tokenizer, model = self._loaded
        whole = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        tokens = np.array([len(each) for each in whole], dtype=np.int32)
        inputs = tokenizer(
            list(texts), truncation=True, max_length=self.length, padding=True, return_tensors="pt"
        )
        with torch.no_grad():
            states = model(**inputs.to(model.device)).last_hidden_state.cpu()
            vectors = pooled(states, inputs["attention_mask"].cpu(), self.pooling)
            if self._normalize:
                vectors = torch.nn.functional.normalize(vectors, dim=1)
        return vectors.numpy().astype(np.float32), tokens

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text, without those that mark its ends."""
        tokenizer, _ = self._loaded
        found: list[list[int]] = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return found

    @cached_property
    def embeddings(self) -> Tensor:
        """The input embedding of every token, float32 ``(vocabulary, width)``."""
        _, model = self._loaded
        weight: Tensor = model.get_input_embeddings().weight
        return weight.detach().to("cpu", torch.float32)

    def words(self, ids: Sequence[int]) -> list[str]:
        """Return tokens as they are written."""
        tokenizer, _ = self._loaded
        return [str(word) for word in tokenizer.convert_ids_to_tokens(list(ids))]


def _parts(folder: Path, name: str, **settings: Any) -> tuple[Any, Any]:
    """Return the tokenizer and the model of a folder, whose code is never run."""
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise UsageError(
            f"the encoder {name!r} needs transformers: pip install 'attar-text[transformers]'"
        ) from error
    given = {"local_files_only": True, "trust_remote_code": False}
    try:
        with _quiet():
            tokenizer = AutoTokenizer.from_pretrained(str(folder), **given)
            model = AutoModel.from_pretrained(str(folder), use_safetensors=True, **given, **settings)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"the encoder {name!r} cannot be loaded ({reason}); restore its folder") from error
    return tokenizer, model


def transformer_parts(encoder: str, layers: int) -> tuple[Path, Any, Any]:
    """Return the folder, the tokenizer and the model of an encoder that is to be trained.

    It has no dropout, and attention that can be differentiated twice.

    Args:
        encoder: Folder or name; it must be at hand.
        layers: Layers that are kept, the first ones.

    Raises:
        UsageError: If it is not at hand, or damaged.
    """
    from transformers import AutoConfig

    folder = encoder_folder(encoder, download=False)
    with _quiet():
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    for key, value in vars(config).items():
        if "dropout" in key and isinstance(value, float):
            setattr(config, key, 0.0)
    config.num_hidden_layers = min(layers, config.num_hidden_layers)
    how = {"config": config, "dtype": torch.float32, "attn_implementation": "eager"}
    return folder, *_parts(folder, encoder, **how)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from writing to the terminal."""
    from transformers.utils import logging as module

    logging: Any = module

    before, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if shown:
            logging.enable_progress_bar()


def _own_length(folder: Path) -> int:
    """Return how many tokens an encoder takes."""
    said = (
        read_settings(folder / "sentence_bert_config.json").get("max_seq_length"),
        read_settings(folder / "tokenizer_config.json").get("model_max_length"),
        read_settings(folder / "config.json").get("max_position_embeddings"),
    )
    # Some tokenizers write 10³⁰ for "no limit".
    known = [int(each) for each in said if isinstance(each, int | float) and 0 < each < 100_000]
    return min(known, default=_USUAL_LENGTH)
