"""Characteristic functions of embeddings: NCFM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from attar.batch import Batch
from attar.contracts import Context, LabelKind, Objective, Subject
from attar.objectives.answers import Answered
from attar.objectives.distribution import ClassMeans, class_means, embed
from attar.objectives.drawn import DrawsByClass
from attar.objectives.rounds import OnReal, Rounds
from attar.optim import OptimSpec
from attar.plugins import MethodSettings
from attar.precision import full_precision

__all__ = ["NCFM", "CharacteristicMatch", "NCFMSettings"]

_TINY = 1e-12


@dataclass(frozen=True)
class _Seen:
    """What the real data show.

    Attributes:
        frequencies: Where the functions are taken, ``(d, k)``.
        functions: Real and imaginary parts there, ``(classes, k)`` each.
    """

    frequencies: Tensor
    functions: ClassMeans


@dataclass(frozen=True)
class CharacteristicMatch(DrawsByClass):
    """Distance of the characteristic functions of each class's embeddings at random frequencies.

    ``s · Σ_c mean_t √( α (|Φ_T| − |Φ_S|)² + 2 β (|Φ_T| |Φ_S| − Re Φ_T Re Φ_S − Im Φ_T Im Φ_S) )`` where
    ``Φ(t) = mean exp(i ⟨t, ψ⟩)`` over embeddings ψ of length 1: α weighs how strongly, β in which phase
    the functions differ.

    Attributes:
        per_class: Real samples of each class.
        frequencies: Number of frequencies t, of standard normal entries.
        amplitude: α.
        phase: β.
        scale: s.
        chunk: Most rows that go through an uncoupled model at a time.

    References:
        Wang et al., "Dataset Distillation with Neural Characteristic Function: A Minmax
        Perspective", CVPR 2025, equations 4 to 6. Their frequencies may come from a network that is
        trained against the set; the published code leaves it out, and so does this.
    """

    per_class: int = 256
    frequencies: int = 1024
    amplitude: float = 0.5
    phase: float = 0.5
    scale: float = 300.0
    chunk: int = 512

    needs = frozenset({"embed"})
    claims = frozenset({"zero_at_real", "order_free", "by_class"})

    @full_precision
    def _waves(self, embeddings: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        angles = functional.normalize(embeddings, dim=1) @ t
        return angles.cos(), angles.sin()

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> _Seen:
        """Return the frequencies, and the functions of the real data there."""
        real = self.given(real)
        with torch.no_grad():
            embeddings = embed(subject.model, real, self.chunk)
            gen = ctx.gen("frequencies", subject.version)
            drawn = torch.randn(embeddings.shape[1], self.frequencies, generator=gen)
            t = drawn.to(embeddings)
            return _Seen(t, ClassMeans.over(self._waves(embeddings, t), real.labels))

    def compare(
        self,
        subject: Subject,
        stats: _Seen,
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the summed distance over the classes that the synthetic batch holds."""
        classes = syn.labels.unique()
        waves = self._waves(embed(subject.model, syn, self.chunk), stats.frequencies)
        cosines, sines = (class_means(each, syn.labels, classes) for each in waves)
        real_cosines, real_sines = stats.functions.of(classes)
        # The bracket of β is ½ (|Φ_T − Φ_S|² − (|Φ_T| − |Φ_S|)²), which no rounding makes negative.
        whole = (cosines - real_cosines) ** 2 + (sines - real_sines) ** 2
        lengths = [
            (real**2 + imaginary**2 + _TINY).sqrt()
            for real, imaginary in ((cosines, sines), (real_cosines, real_sines))
        ]
        amplitude = (lengths[0] - lengths[1]) ** 2
        apart = self.phase * whole + (self.amplitude - self.phase) * amplitude
        # The root has no slope at zero, where clamping leaves none.
        return self.scale * apart.clamp(min=_TINY).sqrt().sub(_TINY**0.5).mean(1).sum()


class NCFMSettings(MethodSettings):
    """Settings of NCFM.

    A round starts with a fresh model and has `outer` steps; between them the model is trained on
    real data. The published method draws from 20 models that were trained for 60 epochs, and
    stores samples as mosaics.

    Attributes:
        lr: Step size of the values.
        final: Fraction of the step size that is left at the end; see :class:`attar.optim.OptimSpec`.
        per_class: Real samples of each class per stay of a model.
        frequencies: Frequencies at which the functions are compared.
        amplitude: Weight of differences in strength.
        phase: Weight of differences in phase.
        calibration: Weight of the cross-entropy of the set under the model.
        outer: Stays of a model in a round.
        reuse: Steps of a stay.
        samples: Real samples that the model is trained on between two stays.
        batch: Real samples per step of the model.
        lr_model: Step size of the model.
        augment: Whether real and synthetic data are augmented by the same draws, and real data in
            training.
    """

    lr: float = Field(default=0.01, gt=0)
    final: float = Field(default=0.1, ge=0, le=1)
    per_class: int = Field(default=256, ge=1)
    frequencies: int = Field(default=1024, ge=1)
    amplitude: float = Field(default=0.5, ge=0)
    phase: float = Field(default=0.5, gt=0)
    calibration: float = Field(default=1.0, ge=0)
    outer: int = Field(default=20, ge=1)
    reuse: int = Field(default=5, ge=1)
    samples: int = Field(default=512, ge=1)
    batch: int = Field(default=64, ge=1)
    lr_model: float = Field(default=0.01, gt=0)
    augment: bool = True


class NCFMMethod:
    """Registers NCFM."""

    api = 1
    summary = "NCFM: characteristic functions of embeddings by models trained on real data"
    reference = "Wang et al., Dataset Distillation with Neural Characteristic Function, CVPR 2025"
    Settings = NCFMSettings
    label_kinds: tuple[LabelKind, ...] = ("hard",)
    stands_bf16 = True
    conformance_settings: Mapping[str, object] = {"outer": 3, "reuse": 1, "samples": 12, "frequencies": 32}

    def build(self, settings: NCFMSettings) -> Objective:
        """Return characteristic functions, and cross-entropy × models trained on real data."""
        loss = CharacteristicMatch(
            per_class=settings.per_class,
            frequencies=settings.frequencies,
            amplitude=settings.amplitude,
            phase=settings.phase,
        )
        return Objective(
            loss=Answered(loss, settings.calibration) if settings.calibration else loss,
            source=Rounds(
                model=settings.model,
                length=settings.outer,
                reuse=settings.reuse,
                trainer=OnReal(samples_each=settings.samples, batch=settings.batch),
                optim=OptimSpec(name="sgd", lr=settings.lr_model, momentum=0.9, weight_decay=5e-4),
                augment=settings.augment,
            ),
            siamese=settings.augment,
        )

    def optimizers(self, settings: NCFMSettings) -> Mapping[str, OptimSpec]:
        """Return Adam for the values."""
        return {"values": OptimSpec(name="adam", lr=settings.lr, final=settings.final)}


NCFM = NCFMMethod()
