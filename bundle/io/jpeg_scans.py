"""Walk through the entropy-coded data of JPEG scans, which must be complete and hold coefficients of 8-bit pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_END_OF_BLOCK, BAD = 100, 1000

NO_CODE = "it has an undefined Huffman code"
TOO_MANY = "a block has more or larger coefficients than possible"
OUT_OF_RANGE = "a block is brighter than white or darker than black"
TOO_SHORT = "its data end before its last block"
TOO_LONG = "it has more data than blocks"
"""Faults of the entropy-coded data."""


class DamagedJpegError(ValueError):
    """Damage of a JPEG file that a decoder would fill in or misread."""


def demand(holds: bool, fault: str) -> None:
    """Require a condition of an intact image.

    Raises:
        DamagedJpegError: the condition does not hold.
    """
    if not holds:
        raise DamagedJpegError(fault)


@dataclass(frozen=True)
class Block:
    """Block of an MCU: its component, its tables, and the largest sizes of its coefficients."""

    component: int
    first: tuple[list[int], list[int]]
    others: tuple[list[int], list[int], list[int]]
    limits: list[int]
    highest: int


def largest_size(span: int, step: int) -> int:
    """Bits of the largest coefficient: the transform of 8 x 8 pixels does not exceed ``span``."""
    return (span // step + 1).bit_length()


@lru_cache(maxsize=64)
def code_table(counts: bytes, values: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Length and value of the code at the start of every 16-bit pattern; length 0 without a code."""
    lengths, meaning = np.zeros(2**16, np.int64), np.zeros(2**16, np.int64)
    place, index = 0, 0
    for length, count in enumerate(counts, start=1):
        for value in values[index : index + count]:
            span = 1 << (16 - length)
            lengths[place : place + span], meaning[place : place + span] = length, value
            place += span
        index += count
    return lengths, meaning


@lru_cache(maxsize=64)
def first_table(counts: bytes, values: bytes, largest: int) -> tuple[list[int], list[int]]:
    """First coefficient: length of its code and its size; the size is :data:`BAD` without a code."""
    lengths, sizes = code_table(counts, values)
    return lengths.tolist(), np.where((lengths > 0) & (sizes <= largest), sizes, BAD).tolist()


@lru_cache(maxsize=64)
def other_table(counts: bytes, values: bytes) -> tuple[list[int], list[int], list[int]]:
    """Other coefficients: bits of a code with its value, number of coefficients it advances, and its size."""
    lengths, meaning = code_table(counts, values)
    runs, sizes = meaning >> 4, meaning & 15
    passed = np.where(sizes > 0, runs + 1, np.where(runs == 15, 16, BAD))
    passed = np.where(meaning == 0, _END_OF_BLOCK, passed)
    return (lengths + sizes).tolist(), np.where(lengths > 0, passed, BAD).tolist(), sizes.tolist()


def bit_windows(part: bytes) -> Sequence[int]:
    """The 16 bits starting at each bit; after the end ones, which start no code."""
    data = np.frombuffer(part + b"\xff" * 64, np.uint8).astype(np.uint32)
    three = (data[:-2] << 16) | (data[1:-1] << 8) | data[2:]
    shifts = np.arange(8, 0, -1, dtype=np.uint32)
    found: Any = ((three[:, None] >> shifts) & 0xFFFF).astype(np.uint16).ravel()
    return memoryview(found)


def walk(part: bytes, blocks: Sequence[Block], count: int) -> None:
    """Decode the symbols of ``count`` MCUs, which must be all of the data."""
    windows, place, last = bit_windows(part), 0, 8 * len(part)
    before = [0] * (1 + max(block.component for block in blocks))
    for _ in range(count):
        for block in blocks:
            place, change = first_coefficient(windows, place, block)
            before[block.component] += change
            demand(abs(before[block.component]) <= block.highest, OUT_OF_RANGE)
            place = _others(windows, place, block)
            demand(place <= last, TOO_SHORT)
    demand(last - place < 8, TOO_LONG)


def first_coefficient(windows: Sequence[int], place: int, block: Block) -> tuple[int, int]:
    """Start of the other coefficients of a block, and the difference of its first one from the previous block's."""
    lengths, sizes = block.first
    window = windows[place]
    size = sizes[window]
    demand(size != BAD, NO_CODE)
    place += lengths[window]
    if not size:
        return place, 0
    bits = windows[place] >> (16 - size)
    return place + size, bits if bits >> (size - 1) else bits - (1 << size) + 1


def _others(windows: Sequence[int], place: int, block: Block) -> int:
    """Start of the next block."""
    lengths, passed, sizes = block.others
    limits, done = block.limits, 1
    while done < 64:
        window = windows[place]
        place += lengths[window]
        done += passed[window]
        if sizes[window] > limits[done - 1]:
            break
    demand(done < BAD, NO_CODE)
    demand(done == 64 or done > _END_OF_BLOCK, TOO_MANY)
    return place
