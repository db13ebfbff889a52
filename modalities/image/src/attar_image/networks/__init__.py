"""Networks for images: the field's small ones, ResNet-18, and the models of timm."""

from __future__ import annotations

from collections.abc import Mapping

from attar.architectures import Architecture, Family
from attar.infinite import InfiniteMLP
from attar.nets import MLP, ConvNet, Linear

from attar_image.networks.alexnet import AlexNet
from attar_image.networks.lenet import LeNet
from attar_image.networks.resnet import ResNet18
from attar_image.networks.timm_models import TIMM
from attar_image.networks.vgg import VGG11

__all__ = ["ARCHITECTURES", "VGG11", "AlexNet", "LeNet", "ResNet18"]

ARCHITECTURES: Mapping[str, Architecture | Family] = {
    "convnet": ConvNet,
    "mlp": MLP,
    "linear": Linear,
    "ntk": InfiniteMLP,
    "lenet": LeNet,
    "alexnet": AlexNet,
    "vgg11": VGG11,
    "resnet18": ResNet18,
    "timm": TIMM,
}
"""The architectures of the image modality by name; ``timm`` stands for many: ``timm:resnet10t``."""
