"""Feature spaces that selectors work in; a coreset's space changes it, so it is always stated."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from attar.contracts import Task
from attar.errors import UsageError
from attar.objectives.distribution import embed
from attar.protocols import FEATURE_TRAINING
from attar.rng import derive
from attar.settings import unknown
from attar.training import TrainEpochs, fit

__all__ = ["FEATURE_SPACES", "FeatureSpace", "check_space", "class_features", "feature_model"]

FeatureSpace: TypeAlias = Literal["input", "random", "trained"]
"""Preprocessed inputs; embeddings by a random network; embeddings by one trained on real data."""
FEATURE_SPACES: tuple[FeatureSpace, ...] = get_args(FeatureSpace)


def check_space(space: str) -> None:
    """Refuse an unknown feature space.

    Raises:
        UsageError: Listing the known ones.
    """
    if space not in FEATURE_SPACES:
        raise UsageError(unknown("feature space", space, FEATURE_SPACES))


def feature_model(task: Task, space: str, arch: str, seed: int) -> nn.Module | None:
    """Return the network of a feature space, or None where inputs are the features.

    The trained network sees the training split for a fixed number of steps; no choice is made.

    Raises:
        UsageError: If the feature space is unknown.
    """
    check_space(space)
    if space == "input":
        return None
    model = task.build(arch, derive(seed, "features", space))
    if space == "trained":
        usual = next(iter(task.protocols.values()))
        how = FEATURE_TRAINING.model_copy(update={"optimizer": usual.optimizer})
        fit(model, TrainEpochs(task), how, derive(seed, "features", "fit"), task.augment)
    return model.eval().requires_grad_(False)


def class_features(task: Task, model: nn.Module | None, rows: Tensor) -> Tensor:
    """Return features of training rows, float32 ``(m, d)``, read in pieces."""
    features: Tensor | None = None
    for start, part in zip(range(0, len(rows), 512), rows.split(512), strict=True):
        with torch.no_grad():
            piece = task.vectors(part) if model is None else embed(model, task.view(part), 512)
        if features is None:
            # Filled in place: joining pieces at the end would need the memory twice.
            features = torch.empty(len(rows), piece.shape[1], dtype=torch.float32)
        features[start : start + len(part)] = piece
    return torch.empty(0, 0) if features is None else features
