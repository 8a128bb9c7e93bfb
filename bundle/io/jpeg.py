"""Strict check of JPEG files: decoders silently fill in damaged regions.

Segments must follow each other without a gap, from the start marker to the end marker. The scans of Huffman files (SOF0
to SOF2, nearly all files) are decoded to symbols: every code must be in its table, every block must end at its 64th
coefficient or the last one of its scan, no coefficient may exceed the range of 8 bits, and the data must contain
exactly the blocks that the header states. The scans of a progressive file must give all bits of its coefficients. Of
files with arithmetic codes only the segments are checked.

A changed byte that still decodes to the same number of blocks shifts the grey level of all later blocks, or spoils one
block. :func:`check_seams` finds both in the pixels. A changed step of quantisation lays a pattern over the whole image:
the steps of encoders change gradually from one coefficient to the next.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from bundle.io.jpeg_progressive import Band, BandWalk, Progress, walk_first, walk_first_bit
from bundle.io.jpeg_scans import BAD, Block, DamagedJpegError, demand, first_table, largest_size, other_table, walk

Unit = tuple[int, int]

_SOI, _EOI, _SOS, _DQT, _DHT, _DRI = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
_RESTARTS = range(0xD0, 0xD8)
_KNOWN: OrderedDict[bytes, Unit] = OrderedDict()
_MOST_KNOWN = 2**16

STEP_WINDOW = 3
"""Number of quantisation steps before and after a step, in the order of the file, with which it is compared."""

STEP_RATIO = 2
"""Largest ratio between a step of the grey values and all steps around it. It holds for every quality of the standard
tables and for the tables of other encoders."""


@dataclass(frozen=True)
class _Component:
    """A component of the frame: its sampling, its quantisation table, and its progress over progressive scans."""

    across: int
    down: int
    table: int
    progress: Progress = field(default_factory=Progress)


_Named = Sequence[tuple[_Component, int]]
_Walk = Callable[[bytes, int, int], None]


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
    _check_steps(state.steps[next(iter(state.components.values())).table])
    if state.kind == _PROGRESSIVE:
        for component in state.components.values():
            component.progress.check_complete()
    return _unit(state) if state.kind == _PROGRESSIVE or scans == 1 else (0, 0)


def _unit(state: _State) -> Unit:
    components = state.components.values()
    if len(components) == 1:
        return 8, 8
    return 8 * max(component.down for component in components), 8 * max(component.across for component in components)


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


def _check_steps(steps: Sequence[int]) -> None:
    """Check that no quantisation step stands out from those around it."""
    for place, step in enumerate(steps):
        around = (*steps[max(0, place - STEP_WINDOW) : place], *steps[place + 1 : place + 1 + STEP_WINDOW])
        even = min(around) <= STEP_RATIO * step and step <= STEP_RATIO * max(around)
        demand(even, "its quantisation table is damaged")


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
    if state.kind not in (*_SEQUENTIAL, _PROGRESSIVE):
        return end
    named = [(state.components[name], tables) for name, tables in zip(header[1:-3:2], header[2:-3:2], strict=True)]
    total = _units(state, [component for component, _ in named])
    demand(len(parts) == (-(-total // state.interval) if state.interval else 1), "restart markers are missing")
    walk_part = _sequential(header, named, state) if state.kind in _SEQUENTIAL else _progressive(header, named, state)
    for number, part in enumerate(parts):
        begin = number * state.interval
        walk_part(part, begin, min(state.interval, total - begin) if state.interval else total)
    return end


def _sequential(header: bytes, named: _Named, state: _State) -> _Walk:
    """The walk through a scan of a sequential image."""
    demand(header[-3:] == b"\x00\x3f\x00", "its scan header is damaged")
    blocks = _blocks(state, named)
    return lambda part, begin, count: walk(part, blocks, count)


def _progressive(header: bytes, named: _Named, state: _State) -> _Walk:
    """The walk through a scan of a progressive image."""
    band = Band.of(header)
    for component, _ in named:
        component.progress.begin(band)
    if band.first == 0 and band.before:
        each = sum(component.across * component.down for component, _ in named) if len(named) > 1 else 1
        return lambda part, begin, count: walk_first_bit(part, count * each)
    if band.first == 0:
        blocks = _blocks(state, named, others=False)
        return lambda part, begin, count: walk_first(part, blocks, count, band.after)
    demand(len(named) == 1, "its scan header is damaged")
    component, tables = named[0]
    return BandWalk(band, state.codes[0x10 | tables & 15], _limits(state, component), component.progress)


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


def _limits(state: _State, component: _Component) -> list[int]:
    """Bits of the largest coefficients of a component."""
    return [largest_size(8 << (state.precision - 1), step) for step in state.steps[component.table]]


def _blocks(state: _State, named: _Named, others: bool = True) -> list[Block]:
    """The blocks of an MCU in order; without ``others`` of their first coefficients alone."""
    blocks = []
    for number, (component, tables) in enumerate(named):
        steps, span = state.steps[component.table], 8 << (state.precision - 1)
        first = first_table(*state.codes[tables >> 4], state.precision + 3)
        further = other_table(*state.codes[0x10 | tables & 15]) if others else ([], [], [])
        block = Block(number, first, further, _limits(state, component) + [0] * BAD, span // steps[0] + 2)
        blocks += [block] * (component.across * component.down if len(named) > 1 else 1)
    return blocks
