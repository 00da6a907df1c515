"""Chance that is the same on every Python."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Draws from SHA-256 in counter mode: the same on every Python, which `random`'s choice and shuffle are not."""

    def __init__(self, *key: str) -> None:
        self._key = hashlib.sha256("\x1f".join(key).encode("utf-8", "surrogatepass")).digest()
        self._drawn = 0

    def below(self, n: int) -> int:
        """An integer of 0..n-1; the bias of the remainder is below 2**-50."""
        self._drawn += 1
        digest = hashlib.sha256(self._key + self._drawn.to_bytes(8, "big")).digest()
        return int.from_bytes(digest[:8], "big") % n

    def pick(self, items: Sequence[T]) -> T:
        """One of them, each as likely as another."""
        return items[self.below(len(items))]

    def shuffled(self, items: Iterable[T]) -> list[T]:
        """All of them in a drawn order."""
        out = list(items)
        for i in range(len(out) - 1, 0, -1):
            j = self.below(i + 1)
            out[i], out[j] = out[j], out[i]
        return out
