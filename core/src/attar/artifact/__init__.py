"""Artifacts: a distilled or selected set on disk, which explains itself and cannot run code."""

from attar.artifact.build import data_record, make_artifact
from attar.artifact.manifest import (
    SCHEMA_VERSION,
    DataRecord,
    Environment,
    Manifest,
    MethodRecord,
    SizeRecord,
    TensorRecord,
)
from attar.artifact.store import Artifact, load, locate

__all__ = [
    "SCHEMA_VERSION",
    "Artifact",
    "DataRecord",
    "Environment",
    "Manifest",
    "MethodRecord",
    "SizeRecord",
    "TensorRecord",
    "data_record",
    "load",
    "locate",
    "make_artifact",
]
