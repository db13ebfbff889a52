"""Arrays on the wire: as they are, as float16, or as uint8 between their extremes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
import torch
from attar.errors import UsageError
from flwr.app import Array, ArrayRecord
from torch import Tensor

from attar_federated.records import Wire

__all__ = ["header", "packed", "tensor_of", "unpacked"]

_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..)"
    rb"\{'descr': '([^']{1,9})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,15},(?: [0-9]{1,15},)*(?: [0-9]{1,15})?)?)\), \} *\n",
    re.DOTALL,
)
"""What NumPy writes before the values of an array, to the letter: nothing else is read."""
_NUMBERS = ("b1", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
_DEEPEST = 32
"""Dimensions that an array may have."""


def packed(tensors: Mapping[str, Tensor], wire: Wire) -> tuple[ArrayRecord, dict[str, tuple[float, float]]]:
    """Return tensors as they are sent, and lowest value and step of those that are rounded to bytes.

    Args:
        tensors: Tensors by name; integers are sent as they are.
        wire: What real values are sent as.

    Raises:
        UsageError: If a value does not fit.
    """
    arrays, scales = {}, {}
    for name, tensor in tensors.items():
        value = tensor.detach().cpu()
        if value.is_floating_point():
            value = value.to(torch.float32)
            if not bool(torch.isfinite(value).all()):
                raise UsageError(f"{name!r} is not finite, so it cannot be sent; lower the step size")
            if wire == "uint8":
                low = float(value.min()) if value.numel() else 0.0
                step = (float(value.max()) - low) / 255 if value.numel() else 0.0
                scales[name] = (low, step)
                value = ((value - low) / (step or 1.0)).round().clamp(0, 255).to(torch.uint8)
            elif wire == "float16":
                value = value.to(torch.float16)
                if not bool(torch.isfinite(value).all()):
                    raise UsageError(f"{name!r} does not fit into float16; choose --wire float32")
        arrays[name] = Array(value.contiguous().numpy())
    return ArrayRecord(arrays), scales


def header(array: Array, name: str) -> tuple[np.dtype, tuple[int, ...]]:
    """Return type and shape that the bytes of an array hold, without reading its values.

    NumPy would allocate whatever a header claims before it looks whether the bytes are there.

    Raises:
        UsageError: If the bytes are no plain array, or not as many as the header claims.
    """
    return _opened(array, name)[:2]


def _opened(array: Array, name: str) -> tuple[np.dtype, tuple[int, ...], memoryview]:
    """Return type, shape and the bytes of the values; see :func:`header`."""
    data = array.data
    if array.stype != "numpy.ndarray" or not isinstance(data, bytes) or not data.startswith(b"\x93NUMPY"):
        raise UsageError(f"the array {name!r} is not in NumPy's format")
    found = _HEADER.match(data)
    if found is None or int.from_bytes(found[1], "little") != found.end() - 10:
        raise UsageError(f"the array {name!r} has a header that cannot be read")
    descr = found[2].decode("latin1")
    if descr[:1] not in "<>|" or descr[1:] not in _NUMBERS or found[3] != b"False":
        raise UsageError(f"the array {name!r} holds {descr!r} and no plain numbers in rows")
    dtype = np.dtype(descr)
    shape = tuple(int(size) for size in found[4].split(b",") if size.strip())
    if len(shape) > _DEEPEST:
        raise UsageError(f"the array {name!r} has {len(shape)} dimensions")
    values = memoryview(data)[found.end() :]
    wanted = dtype.itemsize * math.prod(shape)
    if wanted != len(values):
        raise UsageError(
            f"the array {name!r} claims {wanted:,} bytes of {dtype.name} and has {len(values):,}"
        )
    return dtype, shape, values


def tensor_of(array: Array, name: str, scale: tuple[float, float] | None = None) -> Tensor:
    """Return the tensor that an array from elsewhere holds, real values as sent or float32.

    Machines may have either order of bytes.

    Raises:
        UsageError: If the bytes are not what they claim to be.
    """
    dtype, shape, data = _opened(array, name)
    if dtype.name == "bool":
        # Any byte but 0 is true: PyTorch would take a bool of 2 for neither.
        values = np.frombuffer(data, np.uint8) != 0
    else:
        values = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="))
    tensor = torch.from_numpy(values.reshape(shape))
    if scale is None:
        return tensor
    low, step = scale
    return tensor.to(torch.float32) * step + low


def unpacked(record: ArrayRecord, scales: Mapping[str, tuple[float, float]]) -> dict[str, Tensor]:
    """Return the tensors of a record from elsewhere by name; see :func:`tensor_of`."""
    return {name: tensor_of(array, name, scales.get(name)) for name, array in record.items()}
