"""What methods, parameterizations and selectors must offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import Field
from torch import Generator, Tensor

from attar.contracts import LabelKind, Objective, Parameterization
from attar.optim import OptimSpec
from attar.settings import Settings

__all__ = [
    "Averages",
    "Method",
    "MethodSettings",
    "NamesAxes",
    "ParameterizationPlugin",
    "Selector",
    "StandsBf16",
    "meant_for",
    "stands_in",
]


class MethodSettings(Settings):
    """Settings that every method has; a method adds its own by subclassing.

    Attributes:
        steps: Number of steps of the run.
        subjects: Models per step, whose gradients are summed.
        restarts: Runs from different starts, the best of which on held-out data is kept.
        validate_every: Steps between two looks of held-out data at the set, by two networks that are
            trained on it; the best is kept. 0 looks never and keeps that of the last step.
        classes_at_once: Classes in memory together, where the loss is a sum over classes;
            0 takes as many as need a quarter of a gigabyte of real samples.
        model: Architecture that is matched on, or "" for the task's default. Where a method's own
            default is another, it stands in for the task's; see :func:`stands_in`.
        init: What the set starts at: ``real``, ``noise`` or the name of a selector.
        parameterization: How values are stored.
        structure: How samples are joined, where data are such that they can be, as
            ``pairwise,width=64``; "" takes the task's default.
        labels: Kind of labels, one of the method's ``label_kinds``; "" takes its first.
        lr_labels: Step size of labels that are learned.
    """

    steps: int = Field(default=1000, ge=1)
    subjects: int = Field(default=1, ge=1, le=100_000)
    restarts: int = Field(default=1, ge=1)
    validate_every: int = Field(default=0, ge=0)
    classes_at_once: int = Field(default=0, ge=0)
    model: str = ""
    init: str = "real"
    parameterization: str = "plain"
    structure: str = ""
    labels: Literal["", "hard", "probability", "regression"] = ""
    lr_labels: float = Field(default=0.01, gt=0)

    @property
    def networks(self) -> int:
        """Models that are in memory together."""
        return self.subjects


def stands_in(method: Method) -> bool:
    """Return whether the models of a method stand in for the networks that its sets are meant for.

    That is so where the method itself names a model, such as a network of infinite width, or a
    linear one in place of a network that is slow to train.
    """
    return bool(method.Settings.model_fields["model"].default)


def meant_for(method: Method, settings: MethodSettings, usual: str) -> str:
    """Return the architecture that a set is meant for: what it is matched on, or the usual one."""
    return usual if stands_in(method) else settings.model or usual


class Method(Protocol):
    """A named composition of loss and source with its defaults (group ``attar.objectives``).

    Attributes:
        label_kinds: Kinds of labels that its loss can learn or take, the default first. A loss
            that never looks at labels has hard ones only.
    """

    api: int
    summary: str
    reference: str
    Settings: type[MethodSettings]
    label_kinds: tuple[LabelKind, ...]

    def build(self, settings: Any) -> Objective:
        """Return the objective for settings of the class ``Settings``."""

    def optimizers(self, settings: Any) -> Mapping[str, OptimSpec]:
        """Return the optimizer of each role that the set may have, and of ``learned``."""


@runtime_checkable
class StandsBf16(Protocol):
    """What a method says beside, whose sets were seen to be as good when models run in bfloat16.

    Attributes:
        stands_bf16: Whether ``--precision auto`` may choose bfloat16 for it.
    """

    stands_bf16: bool


class ParameterizationPlugin(Protocol):
    """Makes and restores parameterizations (group ``attar.parameterizations``)."""

    api: int
    summary: str
    Settings: type[Settings]

    def packs(self, settings: Any, feature: tuple[int, ...]) -> int:
        """Return how many samples of shape `feature` a stored one starts at; 1 for most.

        Raises:
            UsageError: If such samples cannot be stored so.
        """

    def initialize(self, values: Tensor, settings: Any, gen: Generator) -> Parameterization:
        """Return a parameterization that starts as close to `values` as it can.

        Args:
            values: Samples ``(n · packs, *feature)``; those of one stored sample follow one another.
            settings: The settings.
            gen: Source of what is random.
        """

    def restore(self, settings: Any, tensors: Mapping[str, Tensor]) -> Parameterization:
        """Rebuild a parameterization from what its ``stored`` returned."""


@runtime_checkable
class NamesAxes(Protocol):
    """What settings of a parameterization offer beside, where they name axes of a sample."""

    def placed(self, axes: Sequence[str]) -> Settings:
        """Return the settings with places of axes, counted from 0, instead of names.

        Args:
            axes: Names of a sample's axes.

        Raises:
            UsageError: If a sample has no such axis.
        """


class Selector(Protocol):
    """Chooses real samples of one class (group ``attar.selectors``).

    Attributes:
        uses_features: Whether the choice depends on the feature space.
    """

    api: int
    summary: str
    uses_features: bool

    def select(self, features: Tensor, n: int, gen: Generator) -> Tensor:
        """Return ``min(n, m)`` distinct rows of `features`, float32 ``(m, d)``, best first."""


@runtime_checkable
class Averages(Protocol):
    """What a selector offers beside, whose samples are means of real ones instead of real ones."""

    def groups(self, features: Tensor, n: int, gen: Generator) -> Tensor:
        """Return which of ``min(n, m)`` samples each row of `features` is part of, int64 ``(m,)``.

        Every sample has at least one row.
        """
