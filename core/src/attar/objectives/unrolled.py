"""The loss on real data of a model that was trained on the set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from attar.architectures import coupled
from attar.batch import Batch
from attar.contracts import Context, Subject
from attar.objectives.drawn import DrawsByClass
from attar.objectives.inner import InnerOptimizer, InnerTraining, Tensors, Unroll, plain
from attar.objectives.rates import Rates
from attar.portions import rows_at_once
from attar.training import training_loss

__all__ = ["UnrolledLoss"]


@dataclass(frozen=True)
class UnrolledLoss(DrawsByClass):
    """``L(θ_N; real)`` where θ_N are the model's parameters after N steps on the synthetic batch.

    The gradient goes back through the last `window` steps, the others count as constants. With
    `random`, N is drawn between `window` and `steps`, so that the window lies anywhere in the training.

    Attributes:
        optimizer: Optimizer of the steps.
        rates: Their step sizes.
        steps: N, or the most that it may be.
        window: Steps that the gradient goes through; 0 for all.
        random: Whether N is drawn.
        per_class: Real samples of each class.
        batch: Synthetic samples per step; 0 takes all.
        augment: Whether they are augmented, one draw per sample and step.
        unroll: How the training is differentiated.
        chunk: Most real rows that go through an uncoupled model at a time.

    References:
        Wang et al., "Dataset Distillation", 2018, equation 5; Feng et al., "Embarrassingly Simple
        Dataset Distillation", ICLR 2024, algorithm 1, for the random window.
    """

    optimizer: InnerOptimizer
    rates: Rates
    steps: int
    window: int = 0
    random: bool = False
    per_class: int = 50
    batch: int = 0
    augment: bool = False
    unroll: Unroll = plain
    chunk: int = 512

    needs = frozenset[str]()

    @property
    def claims(self) -> frozenset[str]:
        """The order matters where batches or draws of augmentation go by it."""
        return frozenset() if self.batch or self.augment else frozenset({"order_free"})

    def observe(self, subject: Subject, real: Batch | None, ctx: Context) -> Batch:
        """Return the real data: which parameters they are shown to is known later."""
        real = self.given(real)
        return real.constant()

    def compare(
        self,
        subject: Subject,
        stats: Batch,
        syn: Batch,
        ctx: Context,
        learned: Mapping[str, Tensor],
    ) -> Tensor:
        """Return the loss on the real data after training on the synthetic batch."""
        training = InnerTraining(
            model=subject.model,
            ctx=ctx,
            optimizer=self.optimizer,
            batch=self.batch,
            augment=ctx.task.augment if self.augment else None,
        )
        window = min(self.window or self.steps, self.steps)
        last = self.steps
        if self.random:
            gen = ctx.gen("window", ctx.clock.step)
            last = int(torch.randint(window, self.steps + 1, (1,), generator=gen))
        start = training.start()
        rates = self.rates.read(learned, self.steps, start[0])
        constant = range(last - window)
        state = training.forward(training.begin(start), syn.constant(), rates.detach(), constant)
        return self.unroll(
            training,
            state,
            syn,
            rates,
            range(last - window, last),
            lambda parameters: self._on_real(subject, parameters, stats),
        )

    def _on_real(self, subject: Subject, parameters: Tensors, real: Batch) -> Tensor:
        model = subject.model
        named = dict(zip((name for name, _ in model.named_parameters()), parameters, strict=True))
        pieces = [real] if coupled(model) else real.chunks(rows_at_once(real, self.chunk))
        parts = [
            training_loss(functional_call(model, named, (piece.inputs,)), piece, "probability")
            * (len(piece) / len(real))
            for piece in pieces
        ]
        return torch.stack(parts).sum()
