"""Read pickles of plain numpy arrays, and nothing else that a pickle can hold.

A pickle may name any importable function and have it called.  An array needs three
names, and each is answered by a stand-in that can do nothing but rebuild numbers.
"""

from __future__ import annotations

import pickle
from typing import IO, Any

import numpy as np

_KINDS = frozenset({"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"})
_ORDERS = frozenset({"<", ">", "=", "|"})


class _Kind:
    """Stands in for ``numpy.dtype``, for plain numbers only."""

    def __init__(self, code: str, align: Any = False, copy: Any = True) -> None:
        if code not in _KINDS:
            raise pickle.UnpicklingError(f"arrays of type {code!r} are not allowed")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take the byte order, the second item of a dtype's pickled state."""
        if state[1] not in _ORDERS:
            raise pickle.UnpicklingError("an array has an unknown byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Rebuilt:
    """Stands in for an array until its state arrives."""

    array: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take shape, type, order and bytes, as ``ndarray.__reduce__`` wrote them."""
        _, shape, kind, fortran, raw = state
        if isinstance(raw, str):  # written by Python 2
            raw = raw.encode("latin1")
        if not isinstance(kind, _Kind) or not isinstance(raw, bytes):
            raise pickle.UnpicklingError("an array is written in an unknown way")
        flat = np.frombuffer(raw, dtype=kind.dtype)
        self.array = flat.reshape(shape, order="F" if fortran else "C")


def _rebuild(*_: Any) -> _Rebuilt:
    """Stands in for ``numpy.core.multiarray._reconstruct``."""
    return _Rebuilt()


def _latin1(text: str, encoding: str) -> bytes:
    """Stands in for ``_codecs.encode``, as Python 3 writes bytes in protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text as {encoding!r} is not allowed")
    return text.encode("latin1")


_ALLOWED: dict[str, Any] = {
    "numpy.ndarray": None,  # named as an argument, and never called
    "numpy.dtype": _Kind,
    "numpy.core.multiarray._reconstruct": _rebuild,  # numpy 1
    "numpy._core.multiarray._reconstruct": _rebuild,  # numpy 2
    "_codecs.encode": _latin1,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[f"{module}.{name}"]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed") from None


def load_arrays(file: IO[bytes]) -> dict[str, Any]:
    """Return a pickled dictionary whose arrays are rebuilt.

    Raises:
        pickle.UnpicklingError: it is none, is damaged, or names anything else.
    """
    try:
        content = _ArrayUnpickler(file, encoding="latin1").load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:
        # Damaged data make the machine of the pickle stumble in many ways.
        raise pickle.UnpicklingError(f"damaged data ({error})") from error
    if not isinstance(content, dict):
        raise pickle.UnpicklingError("this is no dictionary of arrays")
    return {
        str(key): value.array if isinstance(value, _Rebuilt) else value
        for key, value in content.items()
    }
