"""Toy data: Gaussian classes of any shape, generated in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from attar.architectures import Architecture
from attar.contracts import Augment
from attar.errors import UsageError
from attar.infinite import InfiniteMLP
from attar.nets import MLP, ConvNet, Linear
from attar.plugins import LoadRequest
from attar.registry import Registry
from attar.settings import unknown
from attar.tensor import ArrayItems, Gain, Noise, Standardize, TensorAugment, TensorModality, TensorTask
from attar.tensor.splits import SplitOptions

__all__ = ["TOY_SHAPES", "ToyModality", "installed", "toy_augment", "toy_task"]

_ARCHITECTURES: Mapping[str, Architecture] = {
    "mlp": MLP,
    "convnet": ConvNet,
    "linear": Linear,
    "ntk": InfiniteMLP,
}
TOY_SHAPES: tuple[tuple[int, ...], ...] = ((4,), (2, 8), (1, 8, 8))
"""Shapes of one sample that an objective must work on: a vector, a sequence, an image."""


@cache
def installed() -> Registry:
    """Return one registry of what is installed; reading the metadata anew for each task is slow."""
    return Registry()


def toy_augment() -> TensorAugment:
    """Return an augmentation that suits any shape."""
    return TensorAugment((Gain(), Noise(0.2)))


def _items(feature: Sequence[int], classes: int, n: int, seed: int, split: int) -> ArrayItems:
    # The centers depend on the seed alone, so that all splits are of one distribution.
    centers = 2 * np.random.default_rng([seed, 0]).standard_normal((classes, *feature))
    labels = np.arange(n) % classes
    values = centers[labels] + np.random.default_rng([seed, split]).standard_normal((n, *feature))
    return ArrayItems(values.astype(np.float32), labels, "toy")


def _suited(feature: Sequence[int]) -> str:
    return "mlp,width=16,depth=1" if len(feature) == 1 else "convnet,width=8,depth=1"


def toy_task(
    feature: Sequence[int] = (2,),
    classes: int = 3,
    n: int = 30,
    *,
    seed: int = 0,
    validation: float = 0.2,
    augment: Augment | None = None,
    architecture: str = "",
    modality: str = "toy",
    kind: type[TensorTask] = TensorTask,
) -> TensorTask:
    """Return a task of Gaussian classes.

    Args:
        feature: Shape of one sample.
        classes: Number of classes.
        n: Training samples in all; the classes take turns.
        seed: Seed of the data.
        validation: Validation samples per training sample; 0 for none.
        augment: The augmentation, or None.
        architecture: The default architecture; "" takes a tiny MLP for vectors, else a tiny ConvNet.
        modality: Name of the modality that the task says it is of.
        kind: Class of the task.
    """
    train = _items(feature, classes, n, seed, 1)
    held = round(n * validation)
    return kind(
        modality=modality,
        name="toy",
        classes=tuple(f"class-{label}" for label in range(classes)),
        axes=tuple(f"axis-{index}" for index in range(len(feature))),
        train=train,
        test=_items(feature, classes, max(classes, n // 3), seed, 2),
        validation=_items(feature, classes, held, seed, 3) if held else None,
        preprocess=Standardize.fit(train),
        architectures=_ARCHITECTURES,
        architecture=architecture or _suited(feature),
        augment=augment,
        registry=installed(),
    )


class ToyModality(TensorModality):
    """A modality of one generated data set, ``gauss``, for tests of what uses modalities.

    Args:
        feature: Shape of one sample.
        kind: Class of the task.
        augment: The task's augmentation.
    """

    summary = "generated Gaussian classes"
    Options = SplitOptions
    architectures = _ARCHITECTURES

    def __init__(
        self,
        feature: Sequence[int] = (4,),
        *,
        kind: type[TensorTask] = TensorTask,
        augment: Augment | None = None,
    ) -> None:
        super().__init__(installed())
        self.feature = tuple(feature)
        self.kind = kind
        self.augment = augment or toy_augment()

    def suited(self, feature: tuple[int, ...]) -> str:
        """Return a tiny network."""
        return _suited(feature)

    def augmentation(self, name: str, options: Any) -> Augment | None:
        """Return the augmentation given."""
        return self.augment

    def datasets(self) -> Mapping[str, str]:
        """Return the one data set."""
        return {"gauss": "Gaussian classes"}

    def load(self, request: LoadRequest) -> TensorTask:
        """Generate the data.

        Raises:
            UsageError: If another name is given.
        """
        if request.data not in self.datasets():
            raise UsageError(unknown("data", request.data, self.datasets()))
        options: SplitOptions = request.options
        task = toy_task(self.feature, validation=options.validation, augment=self.augment, kind=self.kind)
        return replace(task, options=options.model_dump(mode="json"))
