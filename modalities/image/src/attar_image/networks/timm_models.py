"""The models of timm (PyTorch Image Models) as architectures: ``timm:resnet10t``."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Sequence
from typing import Any

from attar.architectures import Architecture, Family
from attar.errors import UsageError
from torch import Tensor, nn

__all__ = ["TIMM"]

_DATA = ("num_classes", "in_chans", "img_size")
# Statistics of these are taken over a batch, beside those of torch's own BatchNorm.
_BATCH_NORMS = ("BatchNorm", "EvoNorm2dB", "InplaceAbn")


def _library() -> Any:
    try:
        import timm
    except ImportError as error:
        raise UsageError("timm is not installed: run 'pip install attar-image[timm]'") from error
    return timm


class _TimmModel(nn.Module):
    """A model of timm with the methods that Attar's losses call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model
        names = [type(module).__name__ for module in model.modules()]
        # timm's models treat images one by one but for their normalization.
        self.coupled = any(norm in name for name in names for norm in _BATCH_NORMS)

    def embed(self, inputs: Tensor) -> Tensor:
        """Return what enters the classifier, ``(n, d)``."""
        features: Tensor = self.model.forward_head(self.model.forward_features(inputs), pre_logits=True)
        return features.flatten(1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``(n, classes)``."""
        logits: Tensor = self.model(inputs)
        return logits


class _TimmModelWithMaps(_TimmModel):
    """A model of timm that also shows its intermediate features."""

    def feature_maps(self, inputs: Tensor) -> list[Tensor]:
        """Return each stage's output, ``(n, channels, height, width)``."""
        maps: list[Tensor] = self.model.forward_intermediates(inputs, intermediates_only=True)
        return maps


def _offered(name: str, settings: dict[str, Any]) -> None:
    """Refuse settings that the data decide, and those that load or download something."""
    loading = [*inspect.signature(_library().create_model).parameters][1:-1]
    for key in settings:
        if key in _DATA:
            raise UsageError(f"timm:{name},{key} is decided by the data; leave it out")
        if key in loading or key.startswith("pretrained"):
            raise UsageError(
                f"timm:{name},{key} is not offered: networks start with random weights and nothing is "
                f"loaded or downloaded; leave it out"
            )


def _member(name: str) -> Architecture:
    timm = _library()
    # This refuses sources such as 'hf-hub:…' and 'local-dir:…' as well.
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=3)
        meant = f"did you mean {', '.join(map(repr, close))}? " if close else ""
        raise UsageError(f"unknown timm model {name!r}: {meant}timm.list_models() lists them")

    def factory(feature: Sequence[int], classes: int, **settings: Any) -> nn.Module:
        if len(feature) != 3:
            raise UsageError(f"timm:{name} needs images, but samples have shape {tuple(feature)}")
        _offered(name, settings)
        given = {"pretrained": False, "num_classes": classes, "in_chans": feature[0], **settings}
        try:
            # Models with a grid of positions need to know how large images are; others refuse it.
            model = timm.create_model(name, img_size=tuple(feature[1:]), **given)
        except TypeError as error:
            if "img_size" not in str(error):
                raise
            model = timm.create_model(name, **given)
        has_maps = hasattr(model, "forward_intermediates")
        return _TimmModelWithMaps(model) if has_maps else _TimmModel(model)

    return factory


TIMM = Family(member=_member, example="resnet10t", distribution="timm")
"""The models of timm, without pretrained weights.

References:
    Wightman, "PyTorch Image Models", 2019, https://github.com/huggingface/pytorch-image-models.
"""
