"""Walk through the scans of a progressive JPEG image (ISO/IEC 10918-1, G.1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from bundle.io.jpeg_scans import (
    NO_CODE,
    OUT_OF_RANGE,
    TOO_LONG,
    TOO_MANY,
    TOO_SHORT,
    Block,
    bit_windows,
    code_table,
    demand,
    first_coefficient,
)

_NO_ORDER = "its scans are out of order"


@dataclass(frozen=True)
class Band:
    """Coefficients of a scan: the first and the last in zigzag order, and the lowest known bit before and after it."""

    first: int
    last: int
    before: int
    after: int

    @staticmethod
    def of(header: bytes) -> Band:
        """Read the last three bytes of a scan header."""
        first, last, bits = header[-3:]
        demand(first <= last < 64 and (first > 0 or last == 0), "its scan header is damaged")
        demand(bits & 15 < 14 and bits >> 4 in (0, (bits & 15) + 1), "its scan header is damaged")
        return Band(first, last, bits >> 4, bits & 15)


@dataclass
class Progress:
    """State of a component after the preceding scans.

    Attributes:
        nonzero: the nonzero coefficients of each block, as a bit mask.
        last_bits: the lowest known bit of each coefficient; absent before its first scan.
    """

    nonzero: dict[int, int] = field(default_factory=dict)
    last_bits: dict[int, int] = field(default_factory=dict)

    def begin(self, band: Band) -> None:
        """Start a scan of these coefficients; the bits known so far must be those that its header presumes."""
        demand(band.first == 0 or 0 in self.last_bits, _NO_ORDER)
        for index in range(band.first, band.last + 1):
            demand(self.last_bits.get(index, 0) == band.before, _NO_ORDER)
            demand((index in self.last_bits) == (band.before > 0), _NO_ORDER)
            self.last_bits[index] = band.after

    def check_complete(self) -> None:
        """Demand that every coefficient that has been started has all its bits, and that the first one exists."""
        demand(0 in self.last_bits and not any(self.last_bits.values()), "it is truncated: it lacks scans")


def walk_first(part: bytes, blocks: Sequence[Block], count: int, after: int) -> None:
    """Walk through the first bits of the first coefficients of ``count`` MCUs."""
    windows, place = bit_windows(part), 0
    known = [0] * (1 + max(block.component for block in blocks))
    for _ in range(count):
        for block in blocks:
            place, change = first_coefficient(windows, place, block)
            known[block.component] += change
            size = abs(known[block.component]) << after
            demand(size <= block.highest + (1 << after), OUT_OF_RANGE)
    _check_end(part, place)


def walk_first_bit(part: bytes, count: int) -> None:
    """Walk through one more bit of the first coefficient of ``count`` blocks."""
    _check_end(part, count)


@lru_cache(maxsize=64)
def _codes(counts: bytes, values: bytes) -> tuple[list[int], list[int]]:
    lengths, meaning = code_table(counts, values)
    return lengths.tolist(), meaning.tolist()


class BandWalk:
    """Walk through a scan of one component's further coefficients.

    Args:
        band: coefficients of the scan.
        codes: Huffman table, counts and values.
        limits: bits of the largest coefficients.
        progress: state of the component after the preceding scans.
    """

    def __init__(self, band: Band, codes: tuple[bytes, bytes], limits: Sequence[int], progress: Progress) -> None:
        self.band, self.limits, self.nonzero = band, limits, progress.nonzero
        self.lengths, self.meaning = _codes(*codes)

    def __call__(self, part: bytes, begin: int, count: int) -> None:
        """Walk through ``count`` blocks from the block ``begin`` on."""
        self.windows, self.place, self.left = bit_windows(part), 0, 0
        block = self._refined if self.band.before else self._new
        for number in range(begin, begin + count):
            block(number)
        demand(self.left == 0, TOO_SHORT)
        _check_end(part, self.place)

    def _code(self) -> tuple[int, int]:
        """Zeros before the next coefficient, and its size."""
        window = self.windows[self.place]
        demand(self.lengths[window] > 0, NO_CODE)
        self.place += self.lengths[window]
        return self.meaning[window] >> 4, self.meaning[window] & 15

    def _run(self, bits: int) -> int:
        """Number of blocks that end here."""
        more = self.windows[self.place] >> (16 - bits) if bits else 0
        self.place += bits
        return (1 << bits) + more

    def _new(self, number: int) -> None:
        """Walk through the first bits of the coefficients of a block."""
        index, last, found = self.band.first, self.band.last, 0
        while self.left == 0 and index <= last:
            zeros, size = self._code()
            if size == 0 and zeros < 15:
                self.left = self._run(zeros)
                break
            index += zeros
            demand(index <= last and size + self.band.after <= self.limits[index] + 1, TOO_MANY)
            found |= (size > 0) << index
            self.place += size
            index += 1
        self.left -= self.left > 0
        if found:
            self.nonzero[number] = self.nonzero.get(number, 0) | found

    def _refined(self, number: int) -> None:
        """Walk through one more bit of the known coefficients of a block, and the first of new ones."""
        index, last, known = self.band.first, self.band.last, self.nonzero.get(number, 0)
        found = known
        while self.left == 0 and index <= last:
            zeros, size = self._code()
            demand(size <= 1, TOO_MANY)
            if size == 0 and zeros < 15:
                self.left = self._run(zeros)
                break
            self.place += size
            index = self._past(known, index, zeros)
            demand(index <= last or not size, TOO_MANY)
            found |= size << index
            index += 1
        if self.left:
            self.place += (known >> index & ((1 << (last + 1 - index)) - 1)).bit_count() if index <= last else 0
            self.left -= 1
        if found != known:
            self.nonzero[number] = found

    def _past(self, known: int, index: int, zeros: int) -> int:
        """Index after skipping ``zeros`` zero coefficients; each nonzero one on the way has a refinement bit."""
        while index <= self.band.last:
            if known >> index & 1:
                self.place += 1
            elif zeros == 0:
                break
            else:
                zeros -= 1
            index += 1
        return index


def _check_end(part: bytes, place: int) -> None:
    demand(place <= 8 * len(part), TOO_SHORT)
    demand(8 * len(part) - place < 8, TOO_LONG)
