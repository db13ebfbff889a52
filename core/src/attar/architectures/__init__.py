"""Architectures by name: ``"convnet,width=64,depth=2"``, the user's own code, other libraries' models.

A text names one of three things, looked up in this order:

* a factory that the task knows: ``convnet,width=64``;
* a member of a :class:`Family` that the task knows: ``timm:resnet10t``;
* the user's own code: ``package.module:factory,width=64``.
"""

from attar.architectures.adapt import adapted, capability, coupled
from attar.architectures.build import Architecture, Family, build, code_of, runs_code
from attar.architectures.check import Builder, check_model, check_network
from attar.architectures.own import adopt
from attar.architectures.text import parse

__all__ = [
    "Architecture",
    "Builder",
    "Family",
    "adapted",
    "adopt",
    "build",
    "capability",
    "check_model",
    "check_network",
    "code_of",
    "coupled",
    "parse",
    "runs_code",
]
