"""What a process keeps in memory of what it has read, up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Bounded(Generic[V]):
    """Values by key; the one asked for least recently goes when there is no room.

    ``size_of`` tells the bytes of a value; one that is larger than ``most`` on its own
    is not kept.
    """

    def __init__(self, most: int, size_of: Callable[[V], int]) -> None:
        self.most = most
        self._size_of = size_of
        self._values: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._bytes = 0

    def known(self, key: Hashable) -> V | None:
        """Return the value of a key if it is kept."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """Return the value of a key, made now if it is not kept.  Two threads may make
        it both; nobody waits for another's value."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
        value = make()
        size = self._size_of(value)
        with self._lock:
            if key not in self._values and size <= self.most:
                self._values[key] = (value, size)
                self._bytes += size
                while self._bytes > self.most:
                    _, (_, freed) = self._values.popitem(last=False)
                    self._bytes -= freed
        return value

    @property
    def bytes(self) -> int:
        """Bytes of what is kept."""
        return self._bytes

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._values.clear()
            self._bytes = 0
