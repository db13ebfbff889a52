"""The types that cross Attar's seams.

A modality implements :class:`Task`, :class:`Augment` and, where its samples are no plain
tensors, :class:`SyntheticSet`. An objective is a :class:`Loss` with a :class:`Source`; both see
batches and models only. The core's runner and evaluation know nothing else.
"""

from attar.contracts.data import (
    SPLITS,
    Augment,
    Clock,
    Domain,
    Keeps,
    LabelKind,
    Parameterization,
    SetSpec,
    Split,
    State,
    StorageType,
    SyntheticSet,
    Task,
)
from attar.contracts.matching import (
    Context,
    Loss,
    Objective,
    PreparationStopped,
    RealDraw,
    Segment,
    Source,
    Stateful,
    Subject,
    Workplace,
)

__all__ = [
    "SPLITS",
    "Augment",
    "Clock",
    "Context",
    "Domain",
    "Keeps",
    "LabelKind",
    "Loss",
    "Objective",
    "Parameterization",
    "PreparationStopped",
    "RealDraw",
    "Segment",
    "SetSpec",
    "Source",
    "Split",
    "State",
    "Stateful",
    "StorageType",
    "Subject",
    "SyntheticSet",
    "Task",
    "Workplace",
]
