"""Read the benchmark's pickles without giving them a single callable of numpy.

A pickle may name any importable function and have it called.  The official files
need four names: an ordered dictionary, a set, and numpy's way to write one number.
The two numpy names are answered by the stand-ins below, which can do nothing but
read that number; every other name is refused.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

_NUMBERS = frozenset(
    {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}
)
_BYTE_ORDERS = frozenset({"<", ">", "=", "|"})


class NumberType:
    """Stands in for ``numpy.dtype``, for plain numbers only."""

    def __init__(self, code: str, align: Any = False, copy: Any = True) -> None:
        if code not in _NUMBERS:
            raise pickle.UnpicklingError(f"numbers of type {code!r} are not allowed")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take the byte order, the second item of a dtype's pickled state."""
        order = state[1]
        if order not in _BYTE_ORDERS:
            raise pickle.UnpicklingError(f"byte order {order!r} is not allowed")
        self.dtype = self.dtype.newbyteorder(order)


def number(kind: NumberType, raw: bytes) -> int | float | bool:
    """Stands in for ``numpy.core.multiarray.scalar``: return a Python number."""
    if not isinstance(kind, NumberType) or not isinstance(raw, bytes):
        raise pickle.UnpicklingError("a number is written in an unknown way")
    if len(raw) != kind.dtype.itemsize:
        raise pickle.UnpicklingError("a number has the wrong length")
    return np.frombuffer(raw, dtype=kind.dtype)[0].item()


ALLOWED: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": OrderedDict,
    "builtins.set": set,
    "__builtin__.set": set,  # as protocol 2 writes it
    "numpy.dtype": NumberType,
    "numpy.core.multiarray.scalar": number,  # numpy 1
    "numpy._core.multiarray.scalar": number,  # numpy 2
}


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None


def restricted_loads(data: bytes) -> Any:
    """Return the object of a pickle that keeps to the allowed names.

    Raises:
        pickle.UnpicklingError: for any other name, and for damaged data.
    """
    try:
        return _RestrictedUnpickler(io.BytesIO(data)).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:
        # Damaged data make the machine of the pickle stumble in many ways, and the
        # module promises no list of them.
        raise pickle.UnpicklingError(f"damaged data ({error})") from error
