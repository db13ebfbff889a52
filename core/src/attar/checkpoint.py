"""Checkpoints: a tree of tensors and JSON values in safetensors and JSON, the newest two kept."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from attar.errors import InternalError, UsageError
from attar.files import disk_errors, read_json, to_json
from attar.folders import staged_folder
from attar.owned import discard

__all__ = ["Checkpoint", "Checkpoints", "pack", "unpack"]


_STEP = re.compile(r"step-\d{9,}")
"""Name of a checkpoint's folder."""


def pack(tree: Any) -> tuple[dict[str, Tensor], Any]:
    """Split a tree into its tensors and a JSON skeleton that refers to them by name.

    Raises:
        InternalError: If the tree holds anything but dictionaries, lists, tuples, tensors,
            numbers, strings, booleans and None.
    """
    tensors: dict[str, Tensor] = {}

    def walk(node: Any, path: str) -> Any:
        if isinstance(node, Tensor):
            # Numbered, since paths of different trees can read alike ("a/b" and "a" over "b").
            name = f"{len(tensors)}:{path}"
            # A clone: safetensors refuses tensors that share memory.
            tensors[name] = node.detach().cpu().contiguous().clone()
            return {"tensor": name}
        if isinstance(node, Mapping):
            return {"dict": [[key, walk(value, f"{path}/{key}")] for key, value in node.items()]}
        if isinstance(node, list | tuple):
            return {"list": [walk(value, f"{path}/{i}") for i, value in enumerate(node)]}
        if node is None or isinstance(node, bool | int | float | str):
            return {"value": node}
        raise InternalError(f"a checkpoint cannot hold {type(node).__name__} at {path!r}")

    return tensors, walk(tree, "")


def unpack(tensors: Mapping[str, Tensor], skeleton: Any) -> Any:
    """Rebuild the tree that :func:`pack` split.

    Raises:
        LookupError, TypeError, ValueError: If nothing was split so.
    """
    if not isinstance(skeleton, dict) or len(skeleton) != 1:
        raise ValueError("a node of a state has one kind")
    kind, content = next(iter(skeleton.items()))
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: unpack(tensors, value) for key, value in content}
    if kind == "list":
        return [unpack(tensors, value) for value in content]
    if kind == "value" and (content is None or isinstance(content, bool | int | float | str)):
        return content
    raise ValueError(f"a state has no node {kind!r}")


@dataclass(frozen=True)
class Checkpoint:
    """A state of a run.

    Attributes:
        step: Steps done.
        state: The tree.
        meta: JSON values stored beside it: recipe digest, environment, cost.
    """

    step: int
    state: dict[str, Any]
    meta: dict[str, Any]


class Checkpoints:
    """The checkpoint folder of a run.

    Args:
        folder: The folder.
        keep: How many to keep.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self._folder = folder
        self._keep = keep
        self._rejected: set[int] = set()

    def _steps(self) -> list[Path]:
        found = self._folder.glob("step-*") if self._folder.is_dir() else ()
        return sorted(path for path in found if _STEP.fullmatch(path.name))

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, whole or not at all, and drop the oldest.

        Raises:
            UsageError: If the disk refuses.
        """
        tensors, skeleton = pack(checkpoint.state)
        content = save(tensors)
        header = {"step": checkpoint.step, "meta": checkpoint.meta, "state": skeleton}
        header["digest"] = _digest(header, content)
        target = self._folder / _name(checkpoint.step)
        with staged_folder(target, force=True, compared=False) as aside, disk_errors(target):
            (aside / "state.safetensors").write_bytes(content)
            (aside / "state.json").write_bytes(to_json(header))
        for old in self._steps()[: -self._keep]:
            discard(old)

    def reject(self, step: int) -> None:
        """Pass over a checkpoint from now on: nothing could go on from it."""
        self._rejected.add(step)

    def newest(self, fits: Callable[[Checkpoint], bool] = lambda found: True) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, or None.

        Args:
            fits: Says of one whether it is what it must be; its digest is one that anybody can compute.

        Raises:
            UsageError: If there are checkpoints and none is whole.
        """
        steps = self._steps()
        for path in reversed(steps):
            found = _read(path)
            if found is not None and found.step not in self._rejected and fits(found):
                return found
        if steps:
            raise UsageError(
                f"every checkpoint in {str(self._folder)!r} is damaged; start again with --force"
            )
        return None


def _digest(header: Mapping[str, Any], content: bytes) -> str:
    """Return a hash of all that a checkpoint holds."""
    known = {key: value for key, value in header.items() if key != "digest"}
    digest = hashlib.blake2b(json.dumps(known, sort_keys=True).encode(), digest_size=16)
    digest.update(content)
    return digest.hexdigest()


def _read(path: Path) -> Checkpoint | None:
    try:
        header = read_json(path / "state.json")
        if not isinstance(header, dict):
            return None
        content = (path / "state.safetensors").read_bytes()
        if _digest(header, content) != header["digest"]:
            return None
        state, step, meta = unpack(load(content), header["state"]), header["step"], header["meta"]
    except (UsageError, OSError, LookupError, TypeError, ValueError, RecursionError, SafetensorError):
        return None
    told = isinstance(state, dict) and isinstance(meta, dict) and isinstance(step, int)
    return Checkpoint(step, state, meta) if told and path.name == _name(step) else None


def _name(step: int) -> str:
    return f"step-{step:09d}"


def finite(tree: Any) -> bool:
    """Return whether every floating-point tensor of a tree is finite."""
    if isinstance(tree, Tensor):
        return not tree.is_floating_point() or bool(torch.isfinite(tree).all())
    if isinstance(tree, Mapping):
        return all(finite(value) for value in tree.values())
    if isinstance(tree, list | tuple):
        return all(finite(value) for value in tree)
    return True
