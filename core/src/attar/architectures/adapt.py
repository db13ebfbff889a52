"""What is asked of a model beside ``forward``, and how a plain network gets it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from attar.errors import UsageError

__all__ = ["Embedded", "adapted", "capability", "coupled"]

# Modules of torch.nn that treat each row of a batch by itself, by the file they are defined in.
_ROW_BY_ROW = frozenset(
    f"torch.nn.modules.{name}"
    for name in (
        "activation",
        "channelshuffle",
        "container",
        "conv",
        "dropout",
        "flatten",
        "instancenorm",
        "linear",
        "normalization",
        "padding",
        "pixelshuffle",
        "pooling",
        "upsampling",
    )
)
# In those files, what can be told to work along the rows.
_ACROSS_ROWS = (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmin)


def coupled(model: nn.Module) -> bool:
    """Return whether rows of a batch influence one another, as with BatchNorm or on a graph.

    A model that does not say so is taken to be coupled: it is then never split.
    """
    return bool(getattr(model, "coupled", True))


def capability(model: nn.Module, name: str) -> Callable[..., Any]:
    """Return the method `name` of a model.

    Raises:
        UsageError: If the model lacks it.
    """
    method: Callable[..., Any] | None = getattr(model, name, None)
    if not callable(method):
        raise UsageError(
            f"the model {type(_inner(model)).__name__} has no method {name!r}, which this method needs; "
            f"choose another architecture"
        )
    return method


class Embedded(nn.Module):
    """A network whose embedding is what enters the last linear layer that it calls.

    Everything else, such as ``feature_maps``, is the network's own.

    Args:
        model: The network, which calls at least one :class:`torch.nn.Linear`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        # A forward method of the user's own may do anything, so only plain stacks of layers
        # that work row by row are taken to do so.
        self.coupled = bool(getattr(model, "coupled", not all(map(_row_by_row, model.modules()))))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "model" or name.startswith("_"):
                raise
            return getattr(self.model, name)

    def embed(self, inputs: Any) -> Tensor:
        """Return what enters the last linear layer, ``(n, d)``.

        Raises:
            UsageError: If no linear layer is called.
        """
        entered: list[Tensor] = []

        def note(layer: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
            entered[:] = given[:1] or [named["input"]]

        layers = [layer for layer in self.model.modules() if isinstance(layer, nn.Linear)]
        hooks = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
        try:
            self.model(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        if not entered:
            raise UsageError(
                f"the model {type(self.model).__name__} calls no linear layer, so its embedding is unknown; "
                f"give it a method 'embed' that returns (n, d)"
            )
        return entered[0].flatten(1)

    def forward(self, inputs: Any) -> Any:
        """Return what the network does: logits ``(n, classes)``."""
        return self.model(inputs)


def _inner(model: nn.Module) -> nn.Module:
    return model.model if isinstance(model, Embedded) else model


def _row_by_row(module: nn.Module) -> bool:
    return type(module).__module__ in _ROW_BY_ROW and not isinstance(module, _ACROSS_ROWS)


def adapted(model: nn.Module) -> nn.Module:
    """Return the user's network with ``embed`` and ``coupled``, where it has none and they can be had.

    A network with an ``embed`` of its own is returned as it is, and so is one without a linear
    layer, which then lacks ``embed``.
    """
    has_own = callable(getattr(model, "embed", None))
    linear = any(isinstance(module, nn.Linear) for module in model.modules())
    return model if has_own or not linear else Embedded(model)
