"""Arrays on the wire: as they are, as float16, or as uint8 between their extremes."""

from __future__ import annotations

import ast
import struct
from collections.abc import Mapping

import numpy as np
import torch
from attar.errors import UsageError
from flwr.app import Array, ArrayRecord
from torch import Tensor

from attar_federated.records import Wire

__all__ = ["header", "packed", "tensor_of", "unpacked"]

_MAGIC = b"\x93NUMPY\x01\x00"
_LONGEST = 4096
"""Bytes that a header may have: ours have 128."""


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
    data = array.data
    if array.stype != "numpy.ndarray" or not isinstance(data, bytes) or not data.startswith(_MAGIC):
        raise UsageError(f"the array {name!r} is not in NumPy's format")
    if len(data) < 10:
        raise UsageError(f"the array {name!r} is cut short")
    (length,) = struct.unpack("<H", data[8:10])
    if length > _LONGEST or len(data) < 10 + length:
        raise UsageError(f"the array {name!r} has a header of {length:,} bytes")
    try:
        claimed = ast.literal_eval(data[10 : 10 + length].decode("latin1"))
        dtype, shape = np.dtype(claimed["descr"]), tuple(claimed["shape"])
        order = claimed["fortran_order"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise UsageError(f"the array {name!r} has a header that cannot be read") from error
    if dtype.kind not in "fiub" or order is not False:
        raise UsageError(f"the array {name!r} holds {dtype} and no plain numbers")
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise UsageError(f"the array {name!r} claims the shape {shape}")
    wanted = dtype.itemsize
    for size in shape:
        wanted *= size
    if wanted != len(data) - 10 - length:
        raise UsageError(
            f"the array {name!r} claims {wanted:,} bytes of {dtype} and has {len(data) - 10 - length:,}"
        )
    return dtype, shape


def tensor_of(array: Array, name: str, scale: tuple[float, float] | None = None) -> Tensor:
    """Return the tensor that an array from elsewhere holds, real values as sent or float32.

    Raises:
        UsageError: If the bytes are not what they claim to be.
    """
    header(array, name)
    values = torch.from_numpy(array.numpy().copy())
    if scale is None:
        return values
    low, step = scale
    return values.to(torch.float32) * step + low


def unpacked(record: ArrayRecord, scales: Mapping[str, tuple[float, float]]) -> dict[str, Tensor]:
    """Return the tensors of a record from elsewhere by name; see :func:`tensor_of`."""
    return {name: tensor_of(array, name, scales.get(name)) for name, array in record.items()}
