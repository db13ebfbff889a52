"""What the folder of a sentence encoder says of its use: pooling, and modules that follow it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attar.errors import UsageError
from attar.limits import read_limited

from attar_text.form import PoolingName

__all__ = ["own_pooling", "read_settings"]

_MOST = 2**24
_MODES: Mapping[str, PoolingName] = {
    "mean": "mean",
    "mean_tokens": "mean",
    "cls": "cls",
    "cls_token": "cls",
    "lasttoken": "last",
    "max": "max",
    "max_tokens": "max",
    "mean_sqrt_len": "sqrt",
    "mean_sqrt_len_tokens": "sqrt",
    "weightedmean": "weighted",
    "weightedmean_tokens": "weighted",
}
"""Ways of pooling, as sentence-transformers calls them."""

_KNOWN = ("Transformer", "Pooling", "Normalize", "Dropout")
"""Modules that are carried out: the length of vectors is a setting, and dropout is for training."""


def read_settings(path: Path) -> Mapping[str, Any]:
    """Return the settings in a JSON file; {} where there is none.

    Raises:
        UsageError: If it is damaged.
    """
    found = _json(path)
    return found if isinstance(found, dict) else {}


def _json(path: Path) -> Any:
    try:
        return json.loads(read_limited(path, _MOST))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{str(path)!r} is damaged; restore it") from error


def own_pooling(folder: Path) -> PoolingName:
    """Return how a folder of sentence-transformers pools, else the mean.

    Raises:
        UsageError: If the folder asks for something that is not done here.
    """
    place = _pooling_place(folder)
    for file, key in (("sentence_bert_config.json", "do_lower_case"),):
        if read_settings(folder / file).get(key):
            raise _not_done(folder, "texts in lower case")
    said = read_settings(folder / "config_sentence_transformers.json")
    prompts, name = said.get("prompts"), said.get("default_prompt_name")
    if isinstance(prompts, dict) and name is not None and prompts.get(name):
        raise _not_done(folder, f"the prompt {str(prompts[name])!r} before each text")
    config = read_settings(folder / place / "config.json")
    mode = config.get("pooling_mode")
    # Older folders have a Boolean for each way.
    modes = [mode] if isinstance(mode, str) else list(mode) if isinstance(mode, list) else []
    modes += [
        key.removeprefix("pooling_mode_")
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value is True
    ]
    if not modes:
        if config:
            raise _not_done(folder, "no known pooling")
        return "mean"
    if len(set(modes)) > 1:
        raise _not_done(
            folder, f"vectors put together of {' and '.join(sorted(map(str, set(modes))))} pooling"
        )
    if str(modes[0]) not in _MODES:
        raise _not_done(folder, f"{str(modes[0])!r} pooling")
    return _MODES[str(modes[0])]


def _pooling_place(folder: Path) -> str:
    """Return the folder of the pooling within that of an encoder."""
    modules = _json(folder / "modules.json")
    if modules is None:
        return "1_Pooling"
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise UsageError(f"{str(folder / 'modules.json')!r} is damaged; restore it")
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
    odd = next((kind for kind in kinds if kind not in _KNOWN), None)
    if odd is not None:
        raise _not_done(folder, f"a module {odd!r}")
    if kinds[:1] != ["Transformer"] or kinds.count("Pooling") > 1:
        raise _not_done(folder, f"the modules {', '.join(kinds)}")
    place = next(
        (str(module.get("path")) for module, kind in zip(modules, kinds, strict=True) if kind == "Pooling"),
        "",
    )
    if not (folder / place).resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"{str(folder / 'modules.json')!r} names a folder outside of it; restore it")
    return place or "1_Pooling"


def _not_done(folder: Path, what: str) -> UsageError:
    return UsageError(
        f"the encoder {folder.name!r} asks for {what}, which Attar does not do; choose another encoder, or "
        f"name the pooling yourself with data.pooling (mean, cls, last, max, sqrt or weighted) to do without"
    )
