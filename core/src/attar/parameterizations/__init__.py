"""How the values of a tensor set are stored and decoded."""

from attar.parameterizations.multi_formation import MULTI_FORMATION, MultiFormation, MultiFormationSettings
from attar.parameterizations.plain import PLAIN, Plain

__all__ = ["MULTI_FORMATION", "PLAIN", "MultiFormation", "MultiFormationSettings", "Plain"]
