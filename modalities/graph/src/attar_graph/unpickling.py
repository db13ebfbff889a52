"""Reading the pickles that Planetoid's files are without running anything of what they name.

Only opcodes that build numbers, texts, tuples, lists and dictionaries are carried out. What stands for
arrays, matrices and dictionaries is built of classes here that hold what they are given; the array
itself is made of plain bytes afterwards, of numbers alone. So no function of NumPy or SciPy sees
anything that a file says.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Rows", "load"]

_OPCODES = frozenset(
    """
    PROTO STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT
    BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINUNICODE
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS
    GLOBAL REDUCE NEWOBJ BUILD BINPUT LONG_BINPUT BINGET LONG_BINGET
    """.split()
)
_TYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")


class _Type:
    """Stands for a type of numbers: its code, and the order of its bytes."""

    def __init__(self, code: object = "", *ignored: object) -> None:
        self.code = code
        self.order: object = "|"

    def __setstate__(self, state: object) -> None:
        self.order = state[1] if isinstance(state, tuple) and len(state) > 1 else ""

    def read(self) -> np.dtype[Any]:
        code = self.code.decode("ascii") if isinstance(self.code, bytes) else self.code
        if code not in _TYPES or self.order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"arrays of {code!r} are not allowed")
        return np.dtype(f"{self.order}{code}")


class Array:
    """Stands for an array: shape, type and bytes, looked at when it is read."""

    def __init__(self, *ignored: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def read(self) -> NDArray[Any]:
        """Return the numbers.

        Raises:
            Exception: Of any kind, if these are none.
        """
        if not (isinstance(self.state, tuple) and len(self.state) == 5):
            raise pickle.UnpicklingError("an array has another state")
        _, shape, kind, columns, content = self.state
        if not isinstance(kind, _Type) or not isinstance(shape, tuple):
            raise pickle.UnpicklingError("an array has another state")
        # An old Python's bytes are read as the text of these numbers.
        plain = content.encode("latin1") if isinstance(content, str) else content
        if not isinstance(plain, bytes):
            raise pickle.UnpicklingError("an array is made of bytes")
        values: NDArray[Any] = np.frombuffer(plain, dtype=kind.read())
        return values.reshape(shape[::-1]).T if columns is True else values.reshape(shape)


class Rows:
    """Stands for a sparse matrix in compressed rows.

    Attributes:
        state: Its parts by name.
    """

    def __init__(self, *ignored: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        self.state = dict(state) if isinstance(state, dict) else {}


class _Dictionary(dict[Any, Any]):
    """Stands for a dictionary with a default, which nothing asks for."""

    def __init__(self, *ignored: object) -> None:
        super().__init__()


class _Named:
    """Stands for what is named as an argument and never called."""


_KNOWN: dict[tuple[str, str], type] = {
    ("scipy.sparse.csr", "csr_matrix"): Rows,
    ("scipy.sparse._csr", "csr_matrix"): Rows,
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy._core.multiarray", "_reconstruct"): Array,
    ("numpy", "ndarray"): _Named,
    ("numpy", "dtype"): _Type,
    ("collections", "defaultdict"): _Dictionary,
    ("copy_reg", "_reconstructor"): Rows,
    ("copyreg", "_reconstructor"): Rows,
    **{(module, name): _Named for module in ("__builtin__", "builtins") for name in ("object", "list")},
}


class _Careful(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for one of the few things that may be named."""
        try:
            return _KNOWN[(module, name)]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None


def load(content: bytes) -> Any:
    """Return what a pickle of Planetoid holds: :class:`Array`, :class:`Rows`, dictionaries and lists.

    Raises:
        Exception: Of any kind, if it is damaged or holds anything else.
    """
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name not in _OPCODES:
            raise pickle.UnpicklingError(f"{opcode.name} is not allowed")
        # The place where something is kept is reserved, however far it lies.
        if opcode.name == "LONG_BINPUT" and int(argument or 0) > len(content):
            raise pickle.UnpicklingError("a place lies beyond the file")
    return _Careful(io.BytesIO(content), encoding="latin1", fix_imports=False).load()
