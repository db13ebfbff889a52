"""Losses, sources, and the methods composed of them."""

from attar.objectives.distribution import MeanEmbedding
from attar.objectives.dm import DM, DMSettings
from attar.objectives.sources import Fresh

__all__ = ["DM", "DMSettings", "Fresh", "MeanEmbedding"]
