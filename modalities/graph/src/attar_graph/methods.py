"""Graph condensation by the core's losses and sources: GCond and its family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from attar.contracts import LabelKind, Objective
from attar.objectives.dc import DISTANCES
from attar.objectives.distribution import MeanFeatures
from attar.objectives.gradient import GradientMatch
from attar.objectives.pool import Pool
from attar.objectives.ridge import FeatureKernel, Kernel, ModelKernel, RidgeRegression
from attar.objectives.rounds import OnSet, Rounds
from attar.objectives.sources import Fresh
from attar.optim import OptimSpec
from attar.plugins import MethodSettings
from pydantic import Field

__all__ = [
    "DOSCOND",
    "DOSCOND_X",
    "FREPO_GNN",
    "GCDM",
    "GCDM_X",
    "GCOND",
    "GCOND_X",
    "GC_SNTK",
    "DosCondSettings",
    "FRePoGNNSettings",
    "GCDMSettings",
    "GCSNTKSettings",
    "GCondSettings",
]


class GraphSettings(MethodSettings):
    """Settings that methods of graph condensation share.

    Attributes:
        lr: Step size of the features, in units of the standard deviation that they start with:
            the published step sizes of data whose features differ by orders of magnitude are
            near one another in this unit.
        lr_structure: Step size of the structure.
        final: Fraction of the step sizes that is left at the end.
        per_class: Training nodes of each class per step, at most.
    """

    model: str = "sgc,width=256,threshold=0"
    init: str = "real"
    steps: int = Field(default=200, ge=1)
    lr: float = Field(default=0.02, gt=0)
    lr_structure: float = Field(default=1e-4, gt=0)
    final: float = Field(default=1.0, ge=0, le=1)
    per_class: int = Field(default=256, ge=1)


class GradientSettings(GraphSettings):
    """Settings of methods that match gradients.

    Attributes:
        distance: Distance of two gradients: ``cosine`` over output rows, ``mse`` or ``l1``.
        weighted: Whether a class counts as many times as it has training nodes, in parts of the
            largest class's.
    """

    distance: Literal["cosine", "mse", "l1"] = "cosine"
    weighted: bool = True


class GCondSettings(GradientSettings):
    """Settings of GCond.

    A round starts with a fresh model and has `outer` steps; between them the model is trained on
    the synthetic graph.

    Attributes:
        outer: Steps of a round.
        inner: Passes over the synthetic graph between two steps.
        lr_model: Step size of the model.
    """

    structure: str = "pairwise"
    outer: int = Field(default=20, ge=1)
    inner: int = Field(default=15, ge=1)
    lr_model: float = Field(default=0.01, gt=0)


class GCondXSettings(GCondSettings):
    """Settings of GCond-X: those of GCond, without structure."""

    structure: str = "none"


class DosCondSettings(GradientSettings):
    """Settings of DosCond: each model is used as it was drawn.

    Attributes:
        reuse: Steps per model.
    """

    structure: str = "pairwise"
    model: str = "gcn,dropout=0,threshold=0"
    reuse: int = Field(default=1, ge=1)
    distance: Literal["cosine", "mse", "l1"] = "mse"


class DosCondXSettings(DosCondSettings):
    """Settings of DosCond-X: those of DosCond, without structure."""

    structure: str = "none"


class GCDMSettings(GraphSettings):
    """Settings of GCDM.

    Attributes:
        reuse: Steps per model.
        weighted: Whether a class counts as its share of the training nodes.
    """

    steps: int = Field(default=400, ge=1)
    final: float = Field(default=0.0, ge=0, le=1)
    structure: str = "pairwise"
    model: str = "gcn,dropout=0,threshold=0"
    reuse: int = Field(default=1, ge=1)
    weighted: bool = True


class GCDMXSettings(GCDMSettings):
    """Settings of GCDM-X: those of GCDM, without structure."""

    structure: str = "none"


class RidgeSettings(GraphSettings):
    """Settings of methods of ridge regression.

    Attributes:
        ridge: Ridge in units of the mean of the kernel's diagonal.
    """

    structure: str = "none"
    ridge: float = Field(default=0.1, gt=0)


class GCSNTKSettings(RidgeSettings):
    """Settings of GC-SNTK."""

    model: str = "sntk,threshold=0"
    steps: int = Field(default=100, ge=1)
    lr: float = Field(default=0.06, gt=0)
    final: float = Field(default=0.0, ge=0, le=1)
    ridge: float = Field(default=3.0, gt=0)


class FRePoGNNSettings(RidgeSettings):
    """Settings of FRePo on the features of graph networks.

    Attributes:
        pool: Number of models.
        oldest: Times that a model is trained before a fresh one takes its place.
        inner: Passes over the synthetic graph each time.
        lr_model: Step size of the models.
    """

    model: str = "gcn,dropout=0,threshold=0"
    pool: int = Field(default=10, ge=1)
    oldest: int = Field(default=30, ge=1)
    inner: int = Field(default=1, ge=1)
    lr_model: float = Field(default=0.01, gt=0)

    @property
    def networks(self) -> int:
        """Models that are in memory together."""
        return self.subjects * self.pool


@dataclass(frozen=True)
class _Condensation:
    """What registers a method of graph condensation."""

    summary: str
    reference: str
    api = 1
    label_kinds: tuple[LabelKind, ...] = ("hard",)
    # The methods are tried on vectors too, which nothing joins.
    conformance_settings: ClassVar[Mapping[str, object]] = {"structure": "", "model": "mlp", "lr": 0.02}

    def optimizers(self, settings: GraphSettings) -> Mapping[str, OptimSpec]:
        """Return Adam for features, structure, and labels where they are learned."""
        return {
            "values": OptimSpec(name="adam", lr=settings.lr, final=settings.final, relative=True),
            "structure": OptimSpec(name="adam", lr=settings.lr_structure, final=settings.final),
            "labels": OptimSpec(name="adam", lr=settings.lr_labels, final=settings.final),
        }


def _loss(settings: GradientSettings) -> GradientMatch:
    return GradientMatch(
        distance=DISTANCES[settings.distance], per_class=settings.per_class, weighted=settings.weighted
    )


@dataclass(frozen=True)
class GCondMethod(_Condensation):
    """Registers GCond, and with settings that have no structure, GCond-X."""

    Settings: type[GCondSettings] = GCondSettings
    conformance_settings: ClassVar[Mapping[str, object]] = {
        **_Condensation.conformance_settings,
        "outer": 4,
        "inner": 2,
    }

    def build(self, settings: GCondSettings) -> Objective:
        """Return gradient matching × models trained on the synthetic graph."""
        source = Rounds(
            model=settings.model,
            length=settings.outer,
            trainer=OnSet(epochs=settings.inner, batch=2**31),
            optim=OptimSpec(name="adam", lr=settings.lr_model),
        )
        return Objective(loss=_loss(settings), source=source, siamese=False)


@dataclass(frozen=True)
class DosCondMethod(_Condensation):
    """Registers DosCond, and with settings that have no structure, DosCond-X."""

    Settings: type[DosCondSettings] = DosCondSettings

    def build(self, settings: DosCondSettings) -> Objective:
        """Return gradient matching × fresh models."""
        return Objective(
            loss=_loss(settings), source=Fresh(model=settings.model, reuse=settings.reuse), siamese=False
        )


@dataclass(frozen=True)
class GCDMMethod(_Condensation):
    """Registers GCDM."""

    Settings: type[GCDMSettings] = GCDMSettings

    def build(self, settings: GCDMSettings) -> Objective:
        """Return mean features of every layer × fresh models."""
        loss = MeanFeatures(per_class=settings.per_class, weighted=settings.weighted)
        return Objective(loss=loss, source=Fresh(model=settings.model, reuse=settings.reuse), siamese=False)


def _regression(kernel: Kernel, settings: RidgeSettings) -> RidgeRegression:
    return RidgeRegression(kernel=kernel, per_class=settings.per_class, ridge=settings.ridge)


@dataclass(frozen=True)
class GCSNTKMethod(_Condensation):
    """Registers GC-SNTK."""

    label_kinds: tuple[LabelKind, ...] = ("hard", "regression")
    Settings: type[GCSNTKSettings] = GCSNTKSettings
    conformance_settings: ClassVar[Mapping[str, object]] = {
        **_Condensation.conformance_settings,
        "model": "ntk",
    }

    def build(self, settings: GCSNTKSettings) -> Objective:
        """Return ridge regression on the kernel of an infinitely wide graph network."""
        source = Fresh(model=settings.model)
        return Objective(loss=_regression(ModelKernel(), settings), source=source, siamese=False)


@dataclass(frozen=True)
class FRePoGNNMethod(_Condensation):
    """Registers FRePo on the features of graph networks."""

    label_kinds: tuple[LabelKind, ...] = ("hard", "regression")
    Settings: type[FRePoGNNSettings] = FRePoGNNSettings

    def build(self, settings: FRePoGNNSettings) -> Objective:
        """Return ridge regression on features × a pool of models trained on the synthetic graph."""
        source = Pool(
            model=settings.model,
            size=settings.pool,
            oldest=settings.oldest,
            trainer=OnSet(epochs=settings.inner, batch=2**31),
            optim=OptimSpec(name="adam", lr=settings.lr_model),
        )
        return Objective(loss=_regression(FeatureKernel(), settings), source=source, siamese=False)


_GCOND = "Jin et al., Graph Condensation for Graph Neural Networks, ICLR 2022"
_DOSCOND = "Jin et al., Condensing Graphs via One-Step Gradient Matching, KDD 2022"
GCOND = GCondMethod(
    "graph condensation: gradients of models trained on a graph with a learned structure", _GCOND
)
GCOND_X = GCondMethod("graph condensation without structure", _GCOND, Settings=GCondXSettings)
DOSCOND = DosCondMethod("one-step graph condensation: gradients of fresh models", _DOSCOND)
DOSCOND_X = DosCondMethod(
    "one-step graph condensation without structure", _DOSCOND, Settings=DosCondXSettings
)
GCDM = GCDMMethod(
    "graph condensation by distributions: class means in every layer of fresh models",
    "Liu et al., Graph Condensation via Receptive Field Distribution Matching, 2022",
)
GCDM_X = GCDMMethod(
    "graph condensation by distributions, without structure", GCDM.reference, Settings=GCDMXSettings
)
GC_SNTK = GCSNTKMethod(
    "graph condensation by ridge regression on the tangent kernel of a graph network",
    "Wang et al., Fast Graph Condensation with Structure-based Neural Tangent Kernel, WWW 2024",
)
FREPO_GNN = FRePoGNNMethod(
    "graph condensation by ridge regression on features of graph networks trained on the synthetic graph",
    "Zhou et al., Dataset Distillation using Neural Feature Regression, NeurIPS 2022, applied to graphs",
)
