"""Classifiers that are solved for instead of trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Protocol, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor

from attar.batch import Batch
from attar.nets import Linear

__all__ = ["Ridge", "Solvable"]


@runtime_checkable
class Solvable(Protocol):
    """What a model offers beside, where its best parameters can be written down."""

    def solve(self, batches: Iterator[Batch]) -> float:
        """Set the parameters to the best ones for some samples, given once; return the loss there."""


class Ridge(Linear):
    """Linear regression on one-hot labels with a squared penalty on its weights, in closed form.

    As a model that is matched on it is :class:`attar.nets.Linear`, with random weights.

    Args:
        feature: Shape of one sample, ``(*feature,)``.
        classes: Number of classes.
        penalty: Factor of the penalty, in units of the mean variance of the numbers of a sample.

    References:
        Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems",
        Technometrics 1970, equation 2.1.
    """

    def __init__(
        self, feature: Sequence[int], classes: int, *, penalty: Annotated[float, Field(gt=0)] = 0.1
    ) -> None:
        super().__init__(feature, classes)
        self.penalty = penalty

    def solve(self, batches: Iterator[Batch]) -> float:
        """Set weights and bias to the minimum of ``mean ‖x W + b − y‖² + penalty · v · ‖W‖²``.

        ``v`` is the mean variance of the numbers of a sample; the bias is not penalized. What has to
        be inverted is as large as the samples are long, or as many as they are where these are fewer.

        Args:
            batches: The samples; targets count for labels where there are any.

        Returns:
            The mean squared error, over samples and classes.
        """
        parts = [(self.embed(batch.inputs).double(), self._answers(batch)) for batch in batches]
        inputs, answers = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        center, mean = inputs.mean(0), answers.mean(0)
        centered, wanted = inputs - center, answers - mean
        n, size = centered.shape
        variance = float(centered.pow(2).mean()) or 1.0
        penalty = self.penalty * variance * n
        if n < size:
            kernel = centered @ centered.T
            kernel.diagonal().add_(penalty)
            weights = centered.T @ torch.cholesky_solve(wanted, torch.linalg.cholesky(kernel))
        else:
            moments = centered.T @ centered
            moments.diagonal().add_(penalty)
            weights = torch.cholesky_solve(centered.T @ wanted, torch.linalg.cholesky(moments))
        with torch.no_grad():
            self.head.weight.copy_(weights.T)
            self.head.bias.copy_(mean - center @ weights)
        return float((centered @ weights - wanted).pow(2).mean())

    def _answers(self, batch: Batch) -> Tensor:
        if batch.targets is not None:
            return batch.targets.double()
        return torch.nn.functional.one_hot(batch.labels, self.head.out_features).double()
