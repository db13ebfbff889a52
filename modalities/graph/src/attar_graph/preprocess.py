"""From the features of nodes as they are given to what models take."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from attar.errors import UsageError
from attar.settings import Settings
from torch import Tensor

__all__ = ["Scaler", "Scaling", "fit_scaler"]

Scaling: TypeAlias = Literal["rows", "standard", "none"]
"""Each node's features divided by their sum; each feature standardized; or neither."""


class Scaler(Settings):
    """How features are scaled; the artifact stores it.

    Attributes:
        scaling: Which way.
        mean: Mean of each feature over the training nodes, for ``standard``.
        std: Standard deviation likewise; 1 where a feature never varies.
    """

    scaling: Scaling = "none"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def encode(self, features: Tensor) -> Tensor:
        """Return features as models take them, float32 ``(n, d)``.

        Raises:
            UsageError: If there are not as many as the statistics are of.
        """
        features = features.to(torch.float32)
        if self.scaling == "rows":
            sums = features.sum(1, keepdim=True)
            return features / torch.where(sums == 0, torch.ones_like(sums), sums)
        if self.scaling == "none":
            return features
        if features.shape[1] != len(self.mean):
            raise UsageError(
                f"nodes have {features.shape[1]} features, but the statistics are of {len(self.mean)}"
            )
        return (features - torch.tensor(self.mean)) / torch.tensor(self.std)

    def changed(self, features: Tensor, other: Scaler) -> Tensor:
        """Return features that are scaled so as another scaling has them.

        Args:
            features: Features that this scaling made, float32 ``(n, d)``.
            other: The other scaling.

        Raises:
            UsageError: If it is of another kind, since what a node's sum was is lost, or of other features.
        """
        if other.scaling != self.scaling:
            raise UsageError(
                f"the features are scaled by {self.scaling!r} and not by {other.scaling!r}; load the graph "
                f"with data.scaling={other.scaling}"
            )
        if self.scaling != "standard":
            return features
        return other.encode(features * torch.tensor(self.std) + torch.tensor(self.mean))


def fit_scaler(features: Tensor, train: Tensor, scaling: Scaling) -> Scaler:
    """Return the scaling, with statistics of the training nodes alone.

    Args:
        features: Features of all nodes, float32 ``(n, d)``.
        train: Training nodes, int64 ``(k,)``.
        scaling: Which way.
    """
    if scaling != "standard":
        return Scaler(scaling=scaling)
    own = features[train].double()
    std = own.std(0, correction=0)
    std = torch.where(std > 0, std, torch.ones_like(std))
    return Scaler(scaling=scaling, mean=tuple(own.mean(0).tolist()), std=tuple(std.tolist()))
