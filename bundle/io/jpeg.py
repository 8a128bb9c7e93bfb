"""Strict check of JPEG files: decoders silently fill in damaged regions.

Segments must follow each other without a gap, from the start marker to the end marker. The scans of a sequential
Huffman file (SOF0 and SOF1, nearly all files) are decoded to symbols: every code must be in its table, every block must
end at its 64th coefficient, no coefficient may exceed the range of 8 bits, and the data must contain exactly the blocks
that the header states. For progressive files only the segments are checked.

A changed byte that still decodes to the same number of blocks shifts the grey level of all later blocks, or spoils one
block. :func:`check_seams` finds both in the pixels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

Unit = tuple[int, int]

_SOI, _EOI, _SOS, _DQT, _DHT, _DRI = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = (0xC0, 0xC1)
_RESTARTS = range(0xD0, 0xD8)
_END_OF_BLOCK, _BAD = 100, 1000
_KNOWN: OrderedDict[bytes, Unit] = OrderedDict()
_MOST_KNOWN = 2**16


class DamagedJpegError(ValueError):
    """Damage of a JPEG file that a decoder would fill in or misread."""


@dataclass(frozen=True)
class _Component:
    """A component of the frame: its sampling and its quantisation table."""

    across: int
    down: int
    table: int


@dataclass
class _State:
    """Parameters stated by the segments before a scan."""

    kind: int = 0
    precision: int = 8
    height: int = 0
    width: int = 0
    components: dict[int, _Component] = field(default_factory=dict)
    steps: dict[int, tuple[int, ...]] = field(default_factory=dict)
    codes: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    interval: int = 0


def check_jpeg(data: bytes) -> Unit:
    """Check that a JPEG file is intact; intact files are remembered.

    Args:
        data: content of the file.

    Returns:
        Height and width of its MCUs in pixels; 0 for a file whose scans are not checked.

    Raises:
        DamagedJpegError: the file is damaged; the message names the fault.
    """
    digest = sha256(data).digest()
    if digest in _KNOWN:
        _KNOWN.move_to_end(digest)
        return _KNOWN[digest]
    try:
        unit = _check(data)
    except (IndexError, KeyError) as error:
        msg = "it is truncated or lacks a table"
        raise DamagedJpegError(msg) from error
    _KNOWN[digest] = unit
    if len(_KNOWN) > _MOST_KNOWN:
        _KNOWN.popitem(last=False)
    return unit


def _check(data: bytes) -> Unit:
    """Check the segments in order and return the size of the MCUs; data after the end marker are ignored."""
    demand(data[:2] == b"\xff\xd8", "it has no start marker")
    state, place, scans = _State(), 2, 0
    while (marker := _marker(data, place)) != _EOI:
        place = _after_fill(data, place) + 2
        length = int.from_bytes(data[place : place + 2], "big")
        content, end = data[place + 2 : place + length], place + length
        demand(length >= 2 and end <= len(data), "it is truncated in a segment")
        if marker == _SOS:
            end, scans = _scan(data, end, content, state), scans + 1
        else:
            _segment(marker, content, state)
        place = end
    demand(scans > 0, "it has no scan")
    return _unit(state) if state.kind in _SEQUENTIAL and scans == 1 else (0, 0)


def _unit(state: _State) -> Unit:
    components = state.components.values()
    if len(components) == 1:
        return 8, 8
    return 8 * max(component.down for component in components), 8 * max(component.across for component in components)


def demand(holds: bool, fault: str) -> None:
    """Require a condition of an intact image.

    Raises:
        DamagedJpegError: the condition does not hold.
    """
    if not holds:
        raise DamagedJpegError(fault)


def _after_fill(data: bytes, place: int) -> int:
    while data[place : place + 2] == b"\xff\xff":
        place += 1
    return place


def _marker(data: bytes, place: int) -> int:
    demand(place < len(data), "it is truncated: it has no end marker")
    place = _after_fill(data, place)
    demand(data[place] == 0xFF and data[place + 1] >= 0xC0, "it has bytes between its segments")
    return data[place + 1]


def _segment(marker: int, content: bytes, state: _State) -> None:
    """Read the parameters of a segment."""
    demand(marker != _SOI and marker not in _RESTARTS, "it has a marker in a wrong place")
    if marker in _FRAMES:
        _read_frame(marker, content, state)
    elif marker == _DQT:
        _read_steps(content, state)
    elif marker == _DHT:
        _read_codes(content, state)
    elif marker == _DRI:
        demand(len(content) == 2, "its restart interval is damaged")
        state.interval = int.from_bytes(content, "big")


def _read_frame(marker: int, content: bytes, state: _State) -> None:
    demand(len(content) >= 6 and len(content) == 6 + 3 * content[5], "its frame header is damaged")
    demand(not state.components, "it has two frame headers")
    state.kind, state.precision = marker, content[0]
    state.height, state.width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
    for name, sampling, table in zip(*(content[6 + shift :: 3] for shift in range(3)), strict=True):
        demand(1 <= sampling >> 4 <= 4 and 1 <= sampling & 15 <= 4, "its sampling factors are damaged")
        state.components[name] = _Component(sampling >> 4, sampling & 15, table)
    demand(state.height > 0 < state.width and len(state.components) == content[5], "its frame header is damaged")


def _read_steps(content: bytes, state: _State) -> None:
    place = 0
    while place < len(content):
        size, name = 1 + (content[place] >> 4), content[place] & 15
        values = content[place + 1 : place + 1 + 64 * size]
        demand(size <= 2 and name < 4 and len(values) == 64 * size, "its quantisation table is damaged")
        state.steps[name] = tuple(np.frombuffer(values, ">u1" if size == 1 else ">u2").tolist())
        demand(min(state.steps[name]) > 0, "its quantisation table is damaged")
        place += 1 + 64 * size


def _read_codes(content: bytes, state: _State) -> None:
    place = 0
    while place < len(content):
        name, counts = content[place], content[place + 1 : place + 17]
        values = content[place + 17 : place + 17 + sum(counts)]
        demand(len(counts) == 16 and len(values) == sum(counts), "its Huffman table is damaged")
        taken = sum(count << (16 - length) for length, count in enumerate(counts, start=1))
        demand(name & 0xEF < 4 and taken < 2**16 and len(set(values)) == len(values), "its Huffman table is damaged")
        state.codes[name] = counts, values
        place += 17 + sum(counts)


# ---- a scan --------------------------------------------------------------------------------------------------------


def _scan(data: bytes, place: int, header: bytes, state: _State) -> int:
    """Check a scan, whose data begin at ``place``, and return their end."""
    demand(len(header) >= 4 and len(header) == 4 + 2 * header[0], "its scan header is damaged")
    demand(bool(state.components), "it has no frame header before its scan")
    parts, end = _parts(data, place)
    if state.kind not in _SEQUENTIAL:
        return end
    demand(header[-3:] == b"\x00\x3f\x00", "its scan header is damaged")
    named = [(state.components[name], tables) for name, tables in zip(header[1:-3:2], header[2:-3:2], strict=True)]
    total = _units(state, [component for component, _ in named])
    demand(len(parts) == (-(-total // state.interval) if state.interval else 1), "restart markers are missing")
    blocks = _blocks(state, named)
    for number, part in enumerate(parts):
        count = min(state.interval, total - number * state.interval) if state.interval else total
        _walk(part, blocks, count)
    return end


def _parts(data: bytes, place: int) -> tuple[list[bytes], int]:
    """The entropy-coded data between restart markers, without stuffed bytes, and their end."""
    parts, begin = [], place
    while True:
        place = data.find(b"\xff", place)
        demand(0 <= place < len(data) - 1, "it is truncated: it has no end marker")
        code = data[place + 1]
        if code == 0:
            place += 2
            continue
        if code == 0xFF:
            place += 1
            continue
        parts.append(data[begin:place].rstrip(b"\xff").replace(b"\xff\x00", b"\xff"))
        if code not in _RESTARTS:
            return parts, place
        demand(code == 0xD0 + (len(parts) - 1) % 8, "its restart markers are out of order")
        begin = place = place + 2


def _units(state: _State, components: Sequence[_Component]) -> int:
    """Number of MCUs of a scan (ISO/IEC 10918-1, A.2)."""
    across = max(component.across for component in state.components.values())
    down = max(component.down for component in state.components.values())
    if len(components) > 1:
        return -(-state.width // (8 * across)) * -(-state.height // (8 * down))
    (only,) = components
    width, height = -(-state.width * only.across // across), -(-state.height * only.down // down)
    return -(-width // 8) * -(-height // 8)


@dataclass(frozen=True)
class _Block:
    """Block of an MCU: its component, its tables, and the largest sizes of its coefficients."""

    component: int
    first: tuple[list[int], list[int]]
    others: tuple[list[int], list[int], list[int]]
    limits: list[int]
    highest: int


def _blocks(state: _State, named: Sequence[tuple[_Component, int]]) -> list[_Block]:
    """The blocks of an MCU in order."""
    blocks = []
    for number, (component, tables) in enumerate(named):
        steps, span = state.steps[component.table], 8 << (state.precision - 1)
        limits = [_largest_size(span, step) for step in steps] + [0] * _BAD
        first = _first_table(*state.codes[tables >> 4], state.precision + 3)
        others = _other_table(*state.codes[0x10 | tables & 15])
        block = _Block(number, first, others, limits, span // steps[0] + 2)
        blocks += [block] * (component.across * component.down if len(named) > 1 else 1)
    return blocks


def _largest_size(span: int, step: int) -> int:
    """Bits of the largest coefficient: the transform of 8 x 8 pixels does not exceed ``span``."""
    return (span // step + 1).bit_length()


@lru_cache(maxsize=64)
def _lengths(counts: bytes, values: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
def _first_table(counts: bytes, values: bytes, largest: int) -> tuple[list[int], list[int]]:
    """First coefficient: length of its code and its size; the size is :data:`_BAD` without a code."""
    lengths, sizes = _lengths(counts, values)
    return lengths.tolist(), np.where((lengths > 0) & (sizes <= largest), sizes, _BAD).tolist()


@lru_cache(maxsize=64)
def _other_table(counts: bytes, values: bytes) -> tuple[list[int], list[int], list[int]]:
    """Other coefficients: bits of a code with its value, number of coefficients it advances, and its size."""
    lengths, meaning = _lengths(counts, values)
    runs, sizes = meaning >> 4, meaning & 15
    passed = np.where(sizes > 0, runs + 1, np.where(runs == 15, 16, _BAD))
    passed = np.where(meaning == 0, _END_OF_BLOCK, passed)
    return (lengths + sizes).tolist(), np.where(lengths > 0, passed, _BAD).tolist(), sizes.tolist()


def _windows(part: bytes) -> Sequence[int]:
    """The 16 bits starting at each bit; after the end ones, which start no code."""
    data = np.frombuffer(part + b"\xff" * 64, np.uint8).astype(np.uint32)
    three = (data[:-2] << 16) | (data[1:-1] << 8) | data[2:]
    shifts = np.arange(8, 0, -1, dtype=np.uint32)
    found: Any = ((three[:, None] >> shifts) & 0xFFFF).astype(np.uint16).ravel()
    return memoryview(found)


def _walk(part: bytes, blocks: Sequence[_Block], count: int) -> None:
    """Decode the symbols of ``count`` MCUs, which must be all of the data."""
    windows, place, last = _windows(part), 0, 8 * len(part)
    before = [0] * (1 + max(block.component for block in blocks))
    for _ in range(count):
        for block in blocks:
            place, change = _first(windows, place, block)
            before[block.component] += change
            demand(abs(before[block.component]) <= block.highest, "a block is brighter than white or darker than black")
            place = _others(windows, place, block)
            demand(place <= last, "its data end before its last block")
    demand(last - place < 8, "it has more data than blocks")


def _first(windows: Sequence[int], place: int, block: _Block) -> tuple[int, int]:
    """Start of the other coefficients of a block, and the difference of its first one from the previous block's."""
    lengths, sizes = block.first
    window = windows[place]
    size = sizes[window]
    demand(size != _BAD, "it has a code that is in no table")
    place += lengths[window]
    if not size:
        return place, 0
    bits = windows[place] >> (16 - size)
    return place + size, bits if bits >> (size - 1) else bits - (1 << size) + 1


def _others(windows: Sequence[int], place: int, block: _Block) -> int:
    """Start of the next block."""
    lengths, passed, sizes = block.others
    limits, done = block.limits, 1
    while done < 64:
        window = windows[place]
        place += lengths[window]
        done += passed[window]
        if sizes[window] > limits[done - 1]:
            break
    demand(done < _BAD, "it has a code that is in no table")
    demand(done == 64 or done > _END_OF_BLOCK, "a block has more or larger coefficients than there can be")
    return place
