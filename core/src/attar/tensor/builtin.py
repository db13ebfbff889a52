"""The modality ``tensor``: data sets that ship with scikit-learn, and the user's own arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from attar.architectures import Architecture
from attar.errors import UsageError
from attar.infinite import InfiniteMLP
from attar.nets import MLP, ConvNet, Linear
from attar.npz import read_npz
from attar.plugins import GivenData, LoadRequest
from attar.settings import unknown
from attar.tensor.given import read_given
from attar.tensor.items import ArrayItems, ItemsView
from attar.tensor.modality import TensorModality, axes_of
from attar.tensor.preprocess import Standardize
from attar.tensor.splits import SplitOptions, split
from attar.tensor.task import TensorTask

__all__ = ["TENSOR", "digits_arrays", "prepared_task", "tensor_task"]

_SKLEARN = {
    "digits": "1,797 handwritten digits of 8 × 8 pixels (scikit-learn)",
    "wine": "178 wines with 13 measurements, 3 classes (scikit-learn)",
    "breast-cancer": "569 tumors with 30 measurements, 2 classes (scikit-learn)",
    "iris": "150 flowers with 4 measurements, 3 classes (scikit-learn)",
}
_ARRAYS = ("x_train", "y_train", "x_test", "y_test", "inputs", "labels")
ARCHITECTURES: Mapping[str, Architecture] = {
    "convnet": ConvNet,
    "mlp": MLP,
    "linear": Linear,
    "ntk": InfiniteMLP,
}


def _sklearn(name: str) -> tuple[NDArray[Any], NDArray[Any], tuple[str, ...]]:
    from sklearn import datasets

    loaders = {
        "digits": datasets.load_digits,
        "wine": datasets.load_wine,
        "breast-cancer": datasets.load_breast_cancer,
        "iris": datasets.load_iris,
    }
    bunch = cast(Callable[[], Any], loaders[name])()
    return bunch.data, bunch.target, tuple(str(title) for title in bunch.target_names)


def digits_arrays() -> tuple[NDArray[np.uint8], NDArray[Any], tuple[str, ...]]:
    """Return scikit-learn's digits as uint8 ``(1797, 1, 8, 8)`` in 0–16, labels and class names."""
    values, labels, classes = _sklearn("digits")
    return values.reshape(-1, 1, 8, 8).astype(np.uint8), labels, classes


def _suited(feature: tuple[int, ...]) -> str:
    spatial = len(feature) >= 2 and min(feature[1:], default=0) >= 4
    return "convnet,width=64,depth=2" if spatial else "mlp"


def prepared_task(
    values: NDArray[Any], labels: NDArray[Any], classes: tuple[str, ...], name: str = "arrays"
) -> TensorTask:
    """Make a task of samples that are as models take them, all of them to train on.

    Args:
        values: ``(n, *feature)``, any numeric type.
        labels: Integers from 0, ``(n,)``.
        classes: Names of the classes; some may have no sample.
        name: What the data are called.

    Raises:
        UsageError: If lengths, labels or values do not fit.
    """
    train = ArrayItems(values, labels, name)
    return TensorTask(
        modality="tensor",
        name=name,
        classes=classes,
        axes=axes_of(train.feature),
        train=train,
        test=ItemsView(train, torch.zeros(0, dtype=torch.int64)),
        validation=None,
        preprocess=Standardize(),
        architectures=ARCHITECTURES,
        architecture=_suited(train.feature),
    )


def tensor_task(
    values: NDArray[Any] | torch.Tensor,
    labels: NDArray[Any] | torch.Tensor,
    *,
    test: tuple[NDArray[Any], NDArray[Any]] | None = None,
    classes: tuple[str, ...] | None = None,
    name: str = "arrays",
    options: SplitOptions | None = None,
) -> TensorTask:
    """Make a task of arrays in memory or memory-mapped.

    Args:
        values: ``(n, *feature)``, any numeric type.
        labels: One per sample, as for :func:`attar.classes.find_classes`.
        test: Test values and labels; drawn from the data where absent.
        classes: Names of the classes; the labels themselves where absent.
        name: What the data are called.
        options: How to split.

    Raises:
        UsageError: If lengths, labels or values do not fit.
    """
    held = None if test is None else (test[0], test[1])
    given = GivenData(train=(values, labels), test=held, classes=classes)
    return _given(given, name, options or SplitOptions())


def _given(given: GivenData, name: str, options: SplitOptions) -> TensorTask:
    found = read_given(given, name)
    held = None if found.test is None else ArrayItems(*found.test, f"{name} (test)")
    parts = split(ArrayItems(*found.train, name), held, len(found.classes), options)
    return TENSOR.task("tensor", name, found.classes, parts, options)


class BuiltinModality(TensorModality):
    """Arrays: what scikit-learn ships, and ``.npz`` files."""

    summary = "arrays of any shape: scikit-learn's digits, wine, … or your own .npz file"
    Options = SplitOptions
    architectures = ARCHITECTURES

    def suited(self, feature: tuple[int, ...]) -> str:
        """Return a ConvNet for samples with positions, an MLP for others."""
        return _suited(feature)

    def datasets(self) -> Mapping[str, str]:
        """Return the known data sets."""
        return _SKLEARN

    def load(self, request: LoadRequest) -> TensorTask:
        """Load a known data set, or a ``.npz`` file.

        The file holds ``x_train`` ``(n, *feature)`` and ``y_train`` ``(n,)``, and ``x_test`` with ``y_test``
        if it is split; or, as exports are, ``inputs`` and ``labels``.

        Raises:
            UsageError: If the name is unknown or the file does not fit.
        """
        options: SplitOptions = request.options
        if request.given is not None:
            return _given(request.given, request.data, options)
        if request.data in _SKLEARN:
            values, labels, classes = digits_arrays() if request.data == "digits" else _sklearn(request.data)
            return tensor_task(values, labels, classes=classes, name=request.data, options=options)
        path = Path(request.data)
        if path.suffix != ".npz":
            known = unknown("data", request.data, _SKLEARN)
            raise UsageError(f"{known}, or give the path of a .npz file with --data")
        if not path.is_file():
            raise UsageError(f"there is no file {request.data!r}; give the path of a .npz file with --data")
        arrays = read_npz(path, "numpy.savez(file, x_train=…, y_train=…)", _ARRAYS)
        if not arrays:
            raise UsageError(f"{path.name} holds no arrays; it needs x_train and y_train")
        if {"inputs", "labels"} <= arrays.keys() and not {"x_train", "y_train"} & arrays.keys():
            # As an export of Attar names them.
            arrays = {"x_train": arrays["inputs"], "y_train": arrays["labels"]}
        missing = {"x_train", "y_train"} - arrays.keys()
        if missing or ("x_test" in arrays) != ("y_test" in arrays):
            raise UsageError(
                f"{path.name} holds {', '.join(sorted(arrays)) or 'nothing'}; it needs x_train and "
                f"y_train, and may have x_test with y_test"
            )
        test = (arrays["x_test"], arrays["y_test"]) if "x_test" in arrays else None
        return tensor_task(arrays["x_train"], arrays["y_train"], test=test, name=path.stem, options=options)


TENSOR = BuiltinModality()
