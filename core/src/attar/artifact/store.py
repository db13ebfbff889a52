"""Reading and writing artifacts; what comes from outside is checked before it is used."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import TensorDataset

from attar.artifact.card import dataset_card
from attar.artifact.html import summary_html
from attar.artifact.manifest import Manifest, TensorRecord, read_manifest
from attar.artifact.remote import download, is_remote
from attar.batch import Batch
from attar.contracts import Domain, SyntheticSet
from attar.errors import AttarError, UsageError
from attar.files import disk_errors, read_json, to_json
from attar.folders import staged_folder
from attar.limits import read_limited
from attar.plugins import DataInfo
from attar.recipe import MOST_RECIPE
from attar.registry import Registry
from attar.unions import restore

__all__ = [
    "DATA",
    "FILES",
    "MANIFEST",
    "Artifact",
    "fetched",
    "load",
    "locate",
    "serialize",
    "tensor_records",
]

DATA = "data.safetensors"
MANIFEST = "manifest.json"
CARD = "README.md"
RECIPE = "recipe.toml"
PREVIEW = "preview.png"
FILES = (DATA, MANIFEST, CARD, RECIPE, PREVIEW)
"""The files that an artifact may have."""

_MOST_PREVIEW = 2**25
_MOST_HEADER = 2**20
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def serialize(tensors: dict[str, Tensor]) -> bytes:
    """Return tensors as safetensors without metadata, whose order is not stable."""
    return save(dict(sorted(tensors.items())))


def tensor_records(tensors: dict[str, Tensor]) -> dict[str, TensorRecord]:
    """Return type and shape of each tensor."""
    names = {dtype: name for name, dtype in _DTYPES.items()}
    return {
        name: TensorRecord(dtype=names[tensor.dtype], shape=tuple(tensor.shape))
        for name, tensor in sorted(tensors.items())
    }


@dataclass(frozen=True, repr=False)
class Artifact:
    """A set with everything needed to understand it and train from it.

    Attributes:
        manifest: What it is.
        syn: The set, as stored.
        recipe: The recipe that made it, as TOML, or "".
        preview: A picture of it, as PNG, or empty.
    """

    manifest: Manifest
    syn: SyntheticSet
    recipe: str = ""
    preview: bytes = b""

    @property
    def info(self) -> DataInfo:
        """What the artifact says of the data, for a modality."""
        info = self.manifest.data.info
        inputs = self.decode().inputs
        if not info.feature and isinstance(inputs, Tensor):
            # Artifacts of older versions do not say it.
            return replace(info, feature=tuple(inputs.shape[1:]))
        return info

    def domain(self, registry: Registry | None = None) -> Domain:
        """Return what prepares new inputs and builds models, rebuilt without the real data.

        Args:
            registry: The plugins known; by default all that are installed.
        """
        modality = (registry or Registry()).get("modalities", self.manifest.data.modality)
        found: Domain = modality.domain(self.info)
        return found

    def preprocess(self, raw: Any) -> Any:
        """Return new inputs as models trained on the set take them.

        Args:
            raw: Inputs in natural units, as the modality takes them: for images Pillow images,
                paths of files, or pixels; for other tensors ``(n, *feature)``.

        Raises:
            UsageError: If they are no inputs of this kind.
        """
        return self.domain().preprocess(raw)

    def __repr__(self) -> str:
        """Return what the set is in one line."""
        manifest = self.manifest
        size = manifest.size
        return (
            f"<Artifact: {size.decoded:,} samples of {manifest.data.name!r} ({manifest.data.modality}), "
            f"{manifest.kind} by {manifest.method.name}, seed {manifest.seed}, {size.bytes:,} bytes>"
        )

    def _repr_html_(self) -> str:
        return summary_html(self.manifest, self.preview)

    def decode(self) -> Batch:
        """Return the samples as models take them, without gradient."""
        with torch.no_grad():
            return self.syn.decode().constant()

    def to_torch(self) -> TensorDataset:
        """Return a data set of inputs, labels and, where there are any, targets.

        Raises:
            UsageError: If the inputs are no plain tensor.
        """
        batch = self.decode()
        if not isinstance(batch.inputs, Tensor):
            raise UsageError(
                f"a set of modality {self.manifest.data.modality!r} is no plain tensor; use decode()"
            )
        columns = [batch.inputs.detach().clone(), batch.labels.clone()]
        if batch.targets is not None:
            columns.append(batch.targets.detach().clone())
        return TensorDataset(*columns)

    def to_hf(self, dtype: str = "") -> Any:
        """Return the set as a Hugging Face ``datasets.Dataset`` in memory, in natural units.

        Images are a column ``image``: pictures for ``uint8``, which rounds and cuts off pixels
        outside of 0 to 255, arrays ``(channels, height, width)`` for floats. Other tensors are a
        column ``inputs``. Beside stand ``label`` with the names of the classes and, where they
        are learned, ``targets``.

        Args:
            dtype: ``uint8``, ``float16`` or ``float32``; by default what suits the data.

        Raises:
            UsageError: If ``datasets`` is not installed, or the set is no table.
        """
        from attar.exports import to_hf

        return to_hf(self, dtype)

    def to_pyg(self, dtype: str = "") -> Any:
        """Return a synthetic graph as a ``torch_geometric.data.Data`` in memory.

        It has ``x`` ``(n, d)``, scaled as models take it, ``edge_index`` ``(2, E)`` with each edge
        in both directions and no loops, ``edge_weight`` ``(E,)``, ``y`` ``(n,)`` and, where they are
        learned, ``targets`` ``(n, classes)``.

        Args:
            dtype: ``float32`` or ``float16``, of features and weights; by default ``float32``.

        Raises:
            UsageError: If ``torch_geometric`` is not installed, or the set is no graph.
        """
        from attar.exports import to_pyg

        return to_pyg(self, dtype)

    def save(self, path: str | Path, *, force: bool = False, license: str = "") -> Path:
        """Write the artifact as a folder, whole or not at all.

        Args:
            path: The folder.
            force: Replace an artifact that stands there.
            license: License that the card names; by default that of the real data.

        Raises:
            UsageError: If the folder is occupied and `force` is not given, or the disk refuses.
        """
        target = Path(path)
        content = serialize(self.syn.stored())
        with staged_folder(target, force=force, kind="artifact") as aside, disk_errors(target):
            (aside / DATA).write_bytes(content)
            (aside / MANIFEST).write_bytes(to_json(self.manifest.model_dump(mode="json")))
            # In bytes: Windows would write other ends of lines, and artifacts are compared by bytes.
            (aside / CARD).write_bytes(dataset_card(self.manifest, license=license).encode("utf-8"))
            if self.recipe:
                (aside / RECIPE).write_bytes(self.recipe.encode("utf-8"))
            if self.preview:
                (aside / PREVIEW).write_bytes(self.preview)
        return target


def fetched(path: str | Path) -> Path:
    """Return the folder that is meant; an address on the Hub, ``hf://user/name``, is downloaded first.

    Raises:
        UsageError: If it cannot be downloaded.
    """
    return download(str(path), FILES) if is_remote(path) else Path(path)


def locate(path: str | Path) -> Path:
    """Return the artifact folder of a run or of an artifact.

    Raises:
        UsageError: If there is none.
    """
    given = Path(path)
    for folder in (given, given / "artifact"):
        if (folder / MANIFEST).is_file():
            return folder
    if not given.exists():
        raise UsageError(f"there is no folder {str(path)!r}; give the folder of a run or of an artifact")
    if (given / RECIPE).is_file():
        raise UsageError(f"the run {str(path)!r} is not finished; continue it with --resume")
    raise UsageError(f"{str(path)!r} holds no {MANIFEST}; give the folder of a run or of an artifact")


def _inside(folder: Path, name: str) -> Path:
    """Return a file of the folder, refusing a link that leads elsewhere."""
    path = folder / name
    if not path.is_file():
        raise UsageError(f"the artifact {str(folder)!r} has no {name}; restore it from where it came")
    if path.resolve().parent != folder.resolve():
        raise UsageError(f"{name} in {str(folder)!r} points outside the artifact; copy the file into it")
    return path


def _text(path: Path) -> str:
    try:
        return read_limited(path, MOST_RECIPE).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} in {str(path.parent)!r} is no text; restore it") from error


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_header(path: Path) -> None:
    """Refuse a header that names a tensor twice, of which readers take different ones, or is very large."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > _MOST_HEADER:
            raise UsageError(
                f"{path.name} is damaged (its header is too large); restore it from where it came"
            )
        header = file.read(size)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a name stands there twice")
        return dict(pairs)

    try:
        json.loads(header, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path.name} is damaged ({error}); restore it from where it came") from error


def read_tensors(path: Path, expected: dict[str, TensorRecord]) -> dict[str, Tensor]:
    """Read a safetensors file after checking that it holds what is expected.

    Raises:
        UsageError: If the header is damaged or names other tensors, types or shapes.
    """
    _check_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            if names != set(expected):
                odd = sorted(names ^ set(expected))[0]
                raise UsageError(f"{path.name} and {MANIFEST} disagree about the tensor {odd!r}")
            for name, record in expected.items():
                piece = file.get_slice(name)
                found = (piece.get_dtype(), tuple(piece.get_shape()))
                if found != (record.dtype, record.shape):
                    raise UsageError(
                        f"the tensor {name!r} in {path.name} is {found[0]} {found[1]}, "
                        f"{MANIFEST} says {record.dtype} {record.shape}"
                    )
            return {name: file.get_tensor(name) for name in sorted(names)}
    except SafetensorError as error:
        raise UsageError(f"{path.name} is damaged ({error}); restore it from where it came") from error


def load(path: str | Path, *, registry: Registry | None = None) -> Artifact:
    """Read an artifact, from its own folder, from its run's, or from the Hugging Face Hub.

    Nothing in it is executed, and nothing is allocated before its size has been checked
    against the file.

    Args:
        path: The folder, or ``hf://user/name`` or ``hf://user/name@revision``, which is downloaded.
        registry: The plugins known; by default all that are installed.

    Raises:
        UsageError: Naming what is wrong with the artifact.

    Example:
        >>> import attar
        >>> task = attar.task("tensor", data="iris")
        >>> path = attar.distill(task, method="herding", ipc=1).save("herded")
        >>> artifact = attar.load("herded")
        >>> artifact.manifest.kind, artifact.manifest.data.classes
        ('selected', ('setosa', 'versicolor', 'virginica'))
        >>> inputs, labels = artifact.to_torch().tensors
        >>> labels
        tensor([0, 1, 2])
    """
    folder = locate(fetched(path))
    manifest = read_manifest(read_json(_inside(folder, MANIFEST)), str(folder / MANIFEST))
    data = _inside(folder, DATA)
    tensors = read_tensors(data, manifest.tensors)
    if _sha256(data) != manifest.sha256:
        raise UsageError(f"{str(data)!r} has been changed: its SHA-256 is not the one in {MANIFEST}")
    _check_values(tensors, data)
    modality = (registry or Registry()).get("modalities", manifest.data.modality)
    syn = _restore(modality, manifest, tensors)
    recipe, preview = folder / RECIPE, folder / PREVIEW
    return Artifact(
        manifest=manifest,
        syn=syn,
        recipe=_text(_inside(folder, RECIPE)) if recipe.exists() else "",
        preview=read_limited(_inside(folder, PREVIEW), _MOST_PREVIEW) if preview.exists() else b"",
    )


def _check_values(tensors: dict[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UsageError(f"the tensor {name!r} in {path.name} holds NaN or infinite values")


def _restore(modality: Any, manifest: Manifest, tensors: dict[str, Tensor]) -> SyntheticSet:
    try:
        syn: SyntheticSet = restore(modality, manifest.set, tensors)
        with torch.no_grad():
            batch = syn.decode()
    except AttarError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Whatever a plugin makes of a description that was changed.
        raise UsageError(f"the tensors of the artifact do not fit its description: {error}") from error
    labels, classes = batch.labels, len(manifest.data.classes)
    if not len(labels):
        raise UsageError("the artifact holds no sample; restore it from where it came")
    _check_feature(batch, manifest)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise UsageError(f"the artifact has labels outside its {classes} classes")
    return syn


def _check_feature(batch: Batch, manifest: Manifest) -> None:
    """Refuse samples of another shape than the manifest says, and targets of other classes."""
    inputs, said = batch.inputs, manifest.data.feature
    found = tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else getattr(inputs, "feature", said)
    if said and found != said:
        raise UsageError(
            f"the artifact has samples of shape {found}, but {MANIFEST} says {said}; restore it from where "
            f"it came"
        )
    if batch.targets is not None and tuple(batch.targets.shape) != (
        len(batch.labels),
        len(manifest.data.classes),
    ):
        raise UsageError(
            f"the artifact has targets of shape {tuple(batch.targets.shape)} for {len(batch.labels)} samples "
            f"of {len(manifest.data.classes)} classes; restore it from where it came"
        )
