"""How the values of a tensor set are stored and decoded."""

from attar.parameterizations.bases import BASES, Bases, BasesSettings
from attar.parameterizations.frequency import FREQUENCY, Frequency, FrequencySettings
from attar.parameterizations.multi_formation import MULTI_FORMATION, MultiFormation, MultiFormationSettings
from attar.parameterizations.plain import PLAIN, Plain

__all__ = [
    "BASES",
    "FREQUENCY",
    "MULTI_FORMATION",
    "PLAIN",
    "Bases",
    "BasesSettings",
    "Frequency",
    "FrequencySettings",
    "MultiFormation",
    "MultiFormationSettings",
    "Plain",
]
