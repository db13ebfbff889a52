"""What stands in an artifact's ``manifest.json``, validated key by key."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Annotated, Any, Literal, TypeAlias

import torch
from pydantic import Field

from attar.classes import MOST_CLASSES
from attar.cost import Cost
from attar.errors import UsageError
from attar.plugins import TABULAR, DataInfo
from attar.protocols import Protocol
from attar.settings import MOST, Record, parse

__all__ = [
    "MIGRATIONS",
    "SCHEMA_VERSION",
    "DataRecord",
    "Environment",
    "Kind",
    "Manifest",
    "MethodRecord",
    "SizeRecord",
    "TensorRecord",
    "read_manifest",
]

SCHEMA_VERSION = 1
"""Version of the manifest's form that this package writes."""

Kind: TypeAlias = Literal["distilled", "selected", "given"]
"""How a set came about: learned, chosen from the real data, or made by other software."""

MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""For each older version, what turns its manifest into that of the next version."""


Count: TypeAlias = Annotated[int, Field(ge=0, le=MOST)]
"""How many there are of something."""


class TensorRecord(Record):
    """A tensor in ``data.safetensors``."""

    dtype: str
    shape: tuple[Count, ...]


class DataRecord(Record):
    """The real data, by name and content, never by path.

    Attributes:
        modality: Name of the modality.
        name: Name of the data.
        fingerprint: Hash of train, validation and preprocessing; "" where it is not told.
        options: The modality's settings that they were loaded with.
        classes: Names of the classes.
        counts: Training samples per class; zeros where they are not told.
        axes: Names of a sample's axes.
        preprocessing: What turns raw data into what models take.
        feature: Shape of one sample as models take it; () where an older version left it out.
        license: License of the data as their owner states it, or ``unknown``.
        about: What else is worth knowing of the training data, which the modality understands;
            {} where it says nothing, or an older version left it out.
        category: What the Hugging Face Hub calls the task that the data are for.
        splits: Samples for training and for validation; {} where an older version left it out.
    """

    modality: str
    name: str
    fingerprint: str
    options: dict[str, Any]
    classes: tuple[str, ...] = Field(min_length=1, max_length=MOST_CLASSES)
    counts: tuple[Count, ...] = Field(max_length=MOST_CLASSES)
    axes: tuple[str, ...]
    preprocessing: dict[str, Any]
    feature: tuple[Count, ...] = ()
    license: str = "unknown"
    about: dict[str, Any] = {}
    category: str = TABULAR
    splits: dict[str, int] = {}

    @property
    def training_samples(self) -> str:
        """Number of training samples, in words."""
        return f"{sum(self.counts):,} training samples" if any(self.counts) else "training samples"

    @property
    def info(self) -> DataInfo:
        """What a modality is told of the data."""
        return DataInfo(
            classes=self.classes,
            axes=self.axes,
            preprocessing=self.preprocessing,
            name=self.name,
            options=self.options,
            feature=self.feature,
            about=self.about,
        )


class MethodRecord(Record):
    """How the set was made: a method with all its settings, or a selector with its rows.

    Attributes:
        name: Name of the method or selector.
        reference: Where it is from.
        settings: All its settings.
        model: Architecture that the set is meant for.
        steps: Steps that were made.
        learned: Values of the scalars learned beside the set.
        feature_space: Space that a selector chose in.
        rows: Training samples that a selector chose.
        restarts: Accuracies on held-out data, in percent, of the runs of which this is the best.
        validated: Steps at which held-out data judged the set, and its accuracies in percent; the set is that
            of the first of the best.
    """

    name: str
    reference: str
    settings: dict[str, Any]
    model: str = ""
    steps: Count = 0
    learned: dict[str, float] = {}
    feature_space: str | None = None
    rows: tuple[Count, ...] | None = None
    restarts: tuple[float, ...] = ()
    validated: tuple[tuple[Count, float], ...] = ()

    @property
    def choice(self) -> str:
        """What held-out data chose among, for people; "" where they chose nothing."""
        said = []
        if self.restarts:
            said.append(
                f"the best of {len(self.restarts)} runs ({max(self.restarts):.1f} % on held-out data)"
            )
        if self.validated:
            step, score = max(self.validated, key=lambda each: each[1])
            said.append(f"step {step:,} of {self.steps:,} ({score:.1f} % on held-out data)")
        return ", ".join(said)


class SizeRecord(Record):
    """How large the set is.

    Attributes:
        ipc: Stored samples per class where all classes have as many, else None.
        stored: Stored samples.
        decoded: Samples that they decode to.
        bytes: Bytes of all tensors needed to train.
        bytes_on_disk: Bytes of ``data.safetensors``.
    """

    ipc: Count | None
    stored: Count
    decoded: Count
    bytes: Count
    bytes_on_disk: Count


class Environment(Record):
    """What the result may depend on beside the recipe."""

    attar: str
    torch: str
    python: str
    machine: str
    device: str
    precision: str
    threads: Count

    @classmethod
    def current(cls, device: str = "cpu", precision: str = "fp32") -> Environment:
        """Return this process's environment."""
        return cls(
            attar=version("attar-core"),
            torch=torch.__version__.split("+")[0],
            python=".".join(map(str, sys.version_info[:3])),
            machine=f"{platform.system()} {platform.machine()}",
            device=device,
            precision=precision,
            threads=torch.get_num_threads(),
        )


class Manifest(Record):
    """The whole of ``manifest.json``."""

    schema_version: Literal[1] = 1
    kind: Kind
    data: DataRecord
    method: MethodRecord
    set: dict[str, Any]
    tensors: dict[str, TensorRecord]
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: SizeRecord
    protocol: Protocol
    seed: Count
    environment: Environment
    cost: Cost


def read_manifest(content: Any, source: str) -> Manifest:
    """Validate a manifest, migrating an older version.

    Args:
        content: The parsed JSON.
        source: What it is called in errors.

    Raises:
        UsageError: If the version is unknown or a key does not fit.
    """
    if not isinstance(content, dict) or not isinstance(content.get("schema_version"), int):
        raise UsageError(f"{source} has no schema_version; it is no manifest of an artifact")
    found = content["schema_version"]
    if not 1 <= found <= SCHEMA_VERSION:
        raise UsageError(
            f"{source} has schema version {found}, this attar-core reads 1 to {SCHEMA_VERSION}; "
            f"upgrade attar-core"
        )
    while content["schema_version"] < SCHEMA_VERSION:
        content = MIGRATIONS[content["schema_version"]](content)
    return parse(Manifest, content, "manifest")
