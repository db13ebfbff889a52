"""The conformance kit of the seam ``attar.parameterizations``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from attar.contracts import Keeps
from attar.errors import UsageError
from attar.rng import derive
from attar.settings import parse
from attar.testing.compare import global_rng_untouched
from attar.testing.laws import Check, LawBroken, make_checks, require, run_checks
from attar.testing.shared import SETTINGS_LAWS, law_plugin_is_complete, subject
from attar.testing.toys import TOY_SHAPES

__all__ = ["PARAMETERIZATION_LAWS", "check_parameterization", "checks_for_parameterization"]

_CLAIMS = frozenset({"lossless"})


@dataclass(frozen=True)
class ParameterizationCase:
    """A parameterization under test.

    Attributes:
        plugin: The plugin.
        changes: Settings to try it with.
        shapes: Shapes of one sample; it may refuse some of them as the user's mistake.
    """

    plugin: Any
    changes: Mapping[str, Any] = field(default_factory=dict)
    shapes: Sequence[tuple[int, ...]] = TOY_SHAPES
    group: str = "parameterizations"

    @property
    def settings_class(self) -> type[BaseModel]:
        """The class of its settings."""
        settings: type[BaseModel] = self.plugin.Settings
        return settings

    def settings(self) -> Any:
        """Return the settings."""
        return parse(self.plugin.Settings, self.changes, "parameterization")

    def values(self, shape: Sequence[int], n: int = 5) -> Tensor:
        """Return values to start at, float32 ``(n, *feature)``."""
        return torch.randn((n, *shape), generator=derive(0, "kit", "values", n))

    def made(self, values: Tensor, seed: int = 0) -> Any:
        """Return a parameterization that starts at `values`."""
        return self.plugin.initialize(values, self.settings(), derive(seed, "kit", "initialize"))

    def each(self, n: int = 5) -> Iterator[tuple[tuple[int, ...], Tensor, Any]]:
        """Yield shape, values and parameterization, for every shape that is not refused."""
        fitting = 0
        for shape in self.shapes:
            try:
                values = self.values(shape, n * self.plugin.packs(self.settings(), tuple(shape)))
                made = self.made(values)
            except UsageError:
                continue
            fitting += 1
            yield tuple(shape), values, made
        require(fitting > 0, f"it refuses all of the shapes {list(self.shapes)}")


def law_parameterization_is_a_module(case: ParameterizationCase) -> None:
    """A parameterization is an ``nn.Module`` with parameters, all of which are float32."""
    for shape, _, made in case.each():
        require(isinstance(made, nn.Module), f"for samples {shape} it gives a {type(made).__name__}")
        kinds = {parameter.dtype for parameter in made.parameters()}
        require(kinds == {torch.float32}, f"for samples {shape} its parameters are of types {kinds}")


def law_forward_gives_values_and_owners(case: ParameterizationCase) -> None:
    """Decoding gives finite float32 ``(m, *feature)`` and for each the stored sample it is of."""
    for n in (5, 1):
        for shape, _, made in case.each(n):
            values, owner = made()
            require(
                tuple(values.shape[1:]) == shape and values.dtype == torch.float32,
                f"samples {shape} decode to {values.dtype} of shape {tuple(values.shape)}",
            )
            require(bool(torch.isfinite(values).all()), f"samples {shape} decode to NaN or infinite values")
            fits = owner.dtype == torch.int64 and owner.shape == (len(values),)
            require(
                fits and sorted(set(owner.tolist())) == list(range(n)),
                f"the owners of samples {shape} are {owner.tolist()}, of {n} stored samples",
            )


def law_gradient_reaches_all_parameters(case: ParameterizationCase) -> None:
    """Every parameter gets gradient from the decoded values."""
    for shape, _, made in case.each():
        values = made()[0]
        weights = torch.randn(values.shape, generator=derive(0, "kit", "weights"))
        (values * weights).sum().backward()
        dry = [
            name
            for name, each in made.named_parameters()
            if each.grad is None or not bool(each.grad.any()) or not bool(torch.isfinite(each.grad).all())
        ]
        require(not dry, f"for samples {shape} no gradient reaches {', '.join(dry)}")


def _equal(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one(), other(), strict=True))


def law_storage_is_exact(case: ParameterizationCase) -> None:
    """What is restored from the stored tensors decodes to the very same, after stepping too."""
    for shape, _, made in case.each():
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(1.5).add_(0.25)
        stored = {name: each.detach().clone() for name, each in made.stored().items()}
        restored = case.plugin.restore(case.settings(), stored)
        require(_equal(made, restored), f"samples {shape} decode to something else once they are restored")


def law_stored_tensors_are_plain(case: ParameterizationCase) -> None:
    """Stored tensors are finite and contiguous."""
    for shape, _, made in case.each():
        for name, tensor in made.stored().items():
            finite = not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
            require(
                finite and tensor.is_contiguous(),
                f"for samples {shape} the stored tensor {name!r} is not finite and contiguous",
            )


def law_kept_samples_decode_alike(case: ParameterizationCase) -> None:
    """Where stored samples can be had without the others, they decode to what they did."""
    for shape, _, made in case.each():
        values, owner = made()
        rows = torch.tensor([int(owner.max()), 0])
        module: Any = made
        if not isinstance(module, Keeps):
            continue
        kept: Any = module.keep(rows)
        places = torch.cat([(owner == row).nonzero()[:, 0] for row in rows])
        found, own = kept()
        require(
            torch.equal(found, values[places]), f"of samples {shape}, those kept decode to something else"
        )
        again = (own == 0).sum() == (owner == rows[0]).sum() and int(own.max()) == 1
        require(bool(again), f"of samples {shape}, those kept are owned by others than the rows kept")


def law_checkpoint_is_exact(case: ParameterizationCase) -> None:
    """A state dictionary brings a freshly made one to the same values: runs are resumed so."""
    for shape, values, made in case.each():
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(1.5).add_(0.25)
        fresh = case.made(values)
        fresh.load_state_dict(made.state_dict())
        require(_equal(made, fresh), f"samples {shape} decode to something else from a checkpoint")


def law_initialize_follows_generator(case: ParameterizationCase) -> None:
    """Equal values and generators start equal sets, and the global generators are left alone."""
    for shape, values, made in case.each():
        with global_rng_untouched("initializing"):
            again = case.made(values)
        require(_equal(made, again), f"samples {shape} start differently with equal generators")


def law_initialize_leaves_values_alone(case: ParameterizationCase) -> None:
    """Stepping a parameterization does not change the values that it started at."""
    for shape, values, made in case.each():
        before = case.values(shape, len(values))
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(1.0)
        require(torch.equal(values, before), f"stepping changed the values of samples {shape} it started at")


def law_claims_are_kept(case: ParameterizationCase) -> None:
    """Only ``lossless`` can be claimed: it decodes to the very values that it starts at."""
    claims = frozenset(getattr(case.plugin, "claims", frozenset()))
    odd = sorted(claims - _CLAIMS)
    require(not odd, f"it claims {', '.join(odd)}; known claims are {', '.join(sorted(_CLAIMS))}")
    if "lossless" not in claims:
        return
    for shape, values, made in case.each():
        decoded = made()[0]
        if not torch.equal(decoded, values):
            raise LawBroken(f"it claims to be lossless, but samples {shape} do not decode to themselves")


PARAMETERIZATION_LAWS: tuple[Callable[[ParameterizationCase], None], ...] = (
    law_plugin_is_complete,
    *SETTINGS_LAWS,
    law_parameterization_is_a_module,
    law_forward_gives_values_and_owners,
    law_gradient_reaches_all_parameters,
    law_storage_is_exact,
    law_stored_tensors_are_plain,
    law_kept_samples_decode_alike,
    law_checkpoint_is_exact,
    law_initialize_follows_generator,
    law_initialize_leaves_values_alone,
    law_claims_are_kept,
)


def checks_for_parameterization(
    plugin: Any, *, name: str | None = None, settings: Mapping[str, Any] | None = None
) -> list[Check]:
    """Return a check for each law of a parameterization.

    Args:
        plugin: The plugin.
        name: Name that it is registered under.
        settings: Settings to try it with; its defaults if None.
    """
    case = ParameterizationCase(plugin, dict(settings or {}))
    return make_checks(subject("parameterization", plugin, name), PARAMETERIZATION_LAWS, case, plugin)


def check_parameterization(
    plugin: Any, *, name: str | None = None, settings: Mapping[str, Any] | None = None
) -> None:
    """Try every law of a parameterization.

    Args:
        plugin: The plugin.
        name: Name that it is registered under.
        settings: Settings to try it with; its defaults if None.

    Raises:
        LawBroken: Naming each law that is broken, and how.
    """
    run_checks(checks_for_parameterization(plugin, name=name, settings=settings))
