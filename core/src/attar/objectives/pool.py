"""A pool of models of different ages, trained on the set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from attar.contracts import Context, State, Subject, SyntheticSet
from attar.cost import Cost
from attar.objectives.rounds import Trainer, train_on
from attar.optim import OptimSpec
from attar.saved import give_optimizer, give_weights, require, whole

__all__ = ["Pool", "PoolState"]


@dataclass
class _Member:
    """A model of the pool.

    Attributes:
        age: Times that it was trained, plus what it started with.
        born: Number of its initialization, by which it can be built again.
        model: The model.
        optimizer: Its optimizer.
    """

    age: int
    born: int
    model: nn.Module
    optimizer: torch.optim.Optimizer


@dataclass
class _Members:
    """The pool of one subject.

    Attributes:
        members: The models.
        births: Models drawn so far.
        last: Which member was used last.
    """

    members: list[_Member]
    births: int
    last: int | None = None


class PoolState:
    """The pools, one per subject."""

    def __init__(self) -> None:
        self.pools: dict[int, _Members] = {}
        self.saved: State = {}
        self.loaded = False

    def state_dict(self) -> State:
        """Return age, weights and optimizer of each member."""
        kept = {
            str(k): {
                "births": pool.births,
                "last": pool.last,
                "members": [
                    {
                        "age": each.age,
                        "born": each.born,
                        "weights": dict(each.model.state_dict()),
                        "optimizer": each.optimizer.state_dict(),
                    }
                    for each in pool.members
                ],
            }
            for k, pool in self.pools.items()
        }
        return {**self.saved, **kept}

    def load_state_dict(self, state: State) -> None:
        """Keep what was saved until the models are asked for, since building them takes the task."""
        self.saved, self.pools, self.loaded = dict(state), {}, True


@dataclass(frozen=True)
class Pool:
    """Models of staggered ages: each step uses one at random and then trains it on the set.

    Attributes:
        model: Architecture, or "" for the task's default.
        size: Number of models.
        oldest: Age at which a model is replaced by a fresh one.
        trainer: What a model is trained on after it was used.
        optim: Optimizer of the models.
        augment: Whether the task's augmentation is applied in training, one draw per sample.

    References:
        Zhou et al., "Dataset Distillation using Neural Feature Regression", NeurIPS 2022,
        algorithm 1.
    """

    model: str
    size: int
    oldest: int
    trainer: Trainer
    optim: OptimSpec
    augment: bool = False

    def prepare(self, ctx: Context) -> Cost:
        """Do nothing: models start fresh."""
        return Cost()

    def init(self, ctx: Context) -> PoolState:
        """Return the state before the first step."""
        return PoolState()

    def next(self, state: PoolState, ctx: Context, syn: SyntheticSet) -> Subject:
        """Train the model used last, replace it if it is old, and draw the one for this step."""
        pool = self._pool(state, ctx)
        if pool.last is not None:
            used = pool.members[pool.last]
            train_on(used.model, used.optimizer, self.trainer, self.augment, ctx, syn)
            used.age += 1
            if used.age >= self.oldest:
                pool.members[pool.last] = self._born(ctx, pool.births, 0)
                pool.births += 1
        gen = ctx.gen("pool", ctx.clock.step)
        pool.last = int(torch.randint(len(pool.members), (1,), generator=gen))
        return Subject(model=pool.members[pool.last].model, version=ctx.clock.step)

    def _born(self, ctx: Context, number: int, age: int) -> _Member:
        model = ctx.task.build(self.model, ctx.gen("model", number)).to(ctx.device)
        model.train()
        optimizer = self.optim.build(list(model.parameters()))
        model.requires_grad_(False)
        return _Member(age=age, born=number, model=model, optimizer=optimizer)

    def _pool(self, state: PoolState, ctx: Context) -> _Members:
        k = ctx.clock.subject
        if k in state.pools:
            return state.pools[k]
        if state.loaded:
            pool = self._kept(ctx, state.saved.pop(str(k), None))
        else:
            members = [self._born(ctx, i, i * self.oldest // self.size) for i in range(self.size)]
            pool = _Members(members, births=self.size)
        state.pools[k] = pool
        return pool

    def _kept(self, ctx: Context, saved: Any) -> _Members:
        fits = isinstance(saved, Mapping) and whole(saved.get("births"), self.size)
        members: Any = saved.get("members") if fits else None
        fits = isinstance(members, list) and len(members) == self.size
        require(fits and whole(saved.get("last"), 0, self.size - 1), "a pool")
        births = saved["births"]
        return _Members([self._member(ctx, each, births) for each in members], births, saved["last"])

    def _member(self, ctx: Context, saved: Any, births: int) -> _Member:
        fits = isinstance(saved, Mapping) and whole(saved.get("born"), 0, births - 1)
        require(fits and whole(saved.get("age"), 0, self.oldest), "a pool")
        member = self._born(ctx, saved["born"], saved["age"])
        give_weights(member.model, saved.get("weights"))
        give_optimizer(member.optimizer, saved.get("optimizer"))
        return member
