"""The selection rules: which samples of a class stand for it, given their features.

Each is a pure function of features ``(m, d)`` of one class.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

__all__ = [
    "HERDING",
    "K_CENTER",
    "K_MEANS",
    "MEANS",
    "RANDOM",
    "MeansRule",
    "Rule",
    "herding",
    "k_center",
    "k_means",
    "k_means_groups",
    "uniform",
]


def uniform(features: Tensor, n: int, gen: Generator) -> Tensor:
    """Return `n` random distinct rows."""
    return torch.randperm(len(features), generator=gen)[:n]


def herding(features: Tensor, n: int, gen: Generator) -> Tensor:
    """Return rows whose running mean stays as close as it can to the mean of all.

    References:
        Welling, "Herding dynamical weights to learn", ICML 2009; Rebuffi et al., "iCaRL",
        CVPR 2017, algorithm 4.
    """
    mean = features.mean(0)
    chosen: list[int] = []
    total = torch.zeros_like(mean)
    free = torch.ones(len(features), dtype=torch.bool)
    for k in range(1, min(n, len(features)) + 1):
        distance = (mean - (total + features) / k).norm(dim=1)
        row = int(torch.where(free, distance, torch.inf).argmin())
        chosen.append(row)
        free[row] = False
        total = total + features[row]
    return torch.tensor(chosen, dtype=torch.int64)


def k_center(features: Tensor, n: int, gen: Generator) -> Tensor:
    """Return rows by greedy farthest-first traversal, from the row nearest to the mean.

    References:
        Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985;
        Sener and Savarese, "Active Learning for CNNs: A Core-Set Approach", ICLR 2018.
    """
    if n < 1:
        return torch.empty(0, dtype=torch.int64)
    chosen = [int((features - features.mean(0)).norm(dim=1).argmin())]
    nearest = (features - features[chosen[0]]).norm(dim=1)
    nearest[chosen[0]] = -1.0
    while len(chosen) < min(n, len(features)):
        row = int(nearest.argmax())
        chosen.append(row)
        nearest = torch.minimum(nearest, (features - features[row]).norm(dim=1))
        nearest[chosen] = -1.0
    return torch.tensor(chosen, dtype=torch.int64)


def k_means(features: Tensor, n: int, gen: Generator) -> Tensor:
    """Return the rows nearest to the centers of `n` clusters, the largest cluster first."""
    n = min(n, len(features))
    if n in (0, len(features)):
        return torch.arange(n)
    centers, labels = _clusters(features, n, gen)
    sizes = torch.bincount(labels, minlength=n)
    free = torch.ones(len(features), dtype=torch.bool)
    chosen = []
    for cluster in sizes.argsort(descending=True, stable=True).tolist():
        distance = (features - centers[cluster]).norm(dim=1)
        row = int(torch.where(free, distance, torch.inf).argmin())
        free[row] = False
        chosen.append(row)
    return torch.tensor(chosen, dtype=torch.int64)


def k_means_groups(features: Tensor, n: int, gen: Generator) -> Tensor:
    """Return the k-means cluster of each row; of one cluster, the mean is that of the class.

    Equal rows make fewer clusters than asked for; rows of the largest then stand alone.
    """
    n = min(n, len(features))
    if n == len(features):
        return torch.arange(n)
    _, labels = _clusters(features, n, gen)
    sizes = torch.bincount(labels, minlength=n)
    for empty in (sizes == 0).nonzero()[:, 0].tolist():
        largest = int(sizes.argmax())
        labels[int((labels == largest).nonzero()[0])] = empty
        sizes = torch.bincount(labels, minlength=n)
    return labels


def _clusters(features: Tensor, n: int, gen: Generator) -> tuple[Tensor, Tensor]:
    """Return the centers of `n` clusters and the cluster of each row."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    seed = int(torch.randint(2**31 - 1, (1,), generator=gen))
    with warnings.catch_warnings():
        # Equal samples make fewer clusters than asked for; distinct rows are returned all the same.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = KMeans(n_clusters=n, n_init=3, random_state=seed).fit(features.numpy())
    centers = torch.from_numpy(fitted.cluster_centers_).to(features)
    return centers, torch.from_numpy(fitted.labels_).to(torch.int64)


@dataclass(frozen=True)
class Rule:
    """Registers a selection rule.

    Attributes:
        function: Called with features ``(m, d)``, the number of rows and a generator.
        summary: One line about it.
        uses_features: Whether the choice depends on the feature space.
    """

    function: Callable[[Tensor, int, Generator], Tensor]
    summary: str
    uses_features: bool = True
    api: int = 1

    def select(self, features: Tensor, n: int, gen: Generator) -> Tensor:
        """Return ``min(n, m)`` distinct rows, int64."""
        return self.function(features, n, gen)


@dataclass(frozen=True)
class MeansRule(Rule):
    """Registers k-means, with the clusters' means as samples."""

    def groups(self, features: Tensor, n: int, gen: Generator) -> Tensor:
        """Return which of ``min(n, m)`` samples each row is part of, int64 ``(m,)``."""
        return k_means_groups(features, n, gen)


RANDOM = Rule(uniform, "random samples of each class", uses_features=False)
HERDING = Rule(herding, "samples whose running mean follows the class mean")
K_CENTER = Rule(k_center, "samples that leave no other far away (farthest-first)")
K_MEANS = Rule(k_means, "samples nearest to the centers of k-means clusters")
MEANS = MeansRule(k_means, "means of k-means clusters; with one sample per class, the class means")
