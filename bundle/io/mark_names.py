"""Finger, side and joint from the name of a mark, as people write it: ``MCP II R``, ``index left``, ``R2``, ``pinky``.

A finger is a word, or a number from 1 (thumb) to 5 (small), Roman or Arabic. A number next to a joint or to ``D``,
``digit``, ``finger`` or ``ray`` takes precedence over other numbers, most of all the number after it; a number without
such a word counts only if nothing else but a side is written. Contradictory names state nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

UNKNOWN = "unknown"
"""Finger or side that nothing states."""

_FINGERS: Mapping[str, str] = {
    **dict.fromkeys(("thumb", "pollex"), "thumb"),
    **dict.fromkeys(("index", "forefinger"), "index"),
    "middle": "middle",
    "ring": "ring",
    **dict.fromkeys(("small", "little", "pinky", "pinkie"), "small"),
}
_NUMBERED = ("thumb", "index", "middle", "ring", "small")
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_NUMBERS: Mapping[str, str] = {
    name: finger
    for row, finger in enumerate(_NUMBERED)
    for name in (str(row + 1), ("i", "ii", "iii", "iv", "v")[row], _ORDINALS[row])
}
_SIDES: Mapping[str, str] = {
    **dict.fromkeys(("left", "l", "lt", "lh"), "left"),
    **dict.fromkeys(("right", "r", "rt", "rh"), "right"),
}
_JOINTS: Mapping[str, str] = {
    **dict.fromkeys(("mcp", "mcpj", "mp", "metacarpophalangeal"), "MCP"),
    **dict.fromkeys(("pip", "pipj"), "PIP"),
    **dict.fromkeys(("dip", "dipj"), "DIP"),
    **dict.fromkeys(("ip", "ipj"), "IP"),
    **dict.fromkeys(("cmc", "cmcj"), "CMC"),
}
_COUNTED = {"d", "f", "digit", "dig", "finger", "ray"}
"""Words besides joints that a finger's number stands next to."""
_ENDINGS = {"st", "nd", "rd", "th", "joint"}
"""Words between a number and the word that it belongs to, as in ``2nd finger``."""
_PHALANX = re.compile(r"\b(proximal|middle|distal) (phalanx|phalanges|phalangeal)\b")
"""Bones named after their position; ``middle`` is not a finger there."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_LONG = sorted({*_FINGERS, "left", "right", *_JOINTS, "finger", "joint"}, key=len, reverse=True)
_JOINED = re.compile(rf"(?:{'|'.join(_LONG)})+")
_WHOLE = re.compile(rf"([lr])?({'|'.join(sorted(_JOINTS, key=len, reverse=True))})(iii|ii|iv|i|v)?([lr])?")


class MarkName(NamedTuple):
    """What the name of a mark states.

    Attributes:
        finger: one of :data:`bundle.joint.FINGERS`, or "unknown".
        side: one of :data:`bundle.joint.SIDES`, or "unknown".
        joint: MCP, PIP, DIP, IP or CMC; empty if the name states none.
    """

    finger: str = UNKNOWN
    side: str = UNKNOWN
    joint: str = ""


def read_mark_name(name: str) -> MarkName:
    """Read finger, side and joint from the name of a mark.

    >>> read_mark_name("MCP II R")
    MarkName(finger='index', side='right', joint='MCP')
    >>> read_mark_name("pinky"), read_mark_name("joint A")
    (MarkName(finger='small', side='unknown', joint=''), MarkName(finger='unknown', side='unknown', joint=''))
    """
    words = _PHALANX.sub("phalanx", " ".join(_words(name))).split()
    sides, joints = ({known[word] for word in words if word in known} for known in (_SIDES, _JOINTS))
    return MarkName(_only(_fingers(words)) or UNKNOWN, _only(sides) or UNKNOWN, _only(joints))


def _words(name: str) -> Iterable[str]:
    """Words and numbers of a name in lower case; joined words are separated."""
    for part in _WORD.findall(name):
        word = part.lower()
        if whole := _WHOLE.fullmatch(word):
            yield from (piece for piece in whole.groups() if piece)
        elif _JOINED.fullmatch(word):
            yield from re.findall("|".join(_LONG), word)
        else:
            yield word


def _fingers(words: list[str]) -> set[str]:
    """Fingers that the words state: by name and by a number next to a joint, else by a number with no other word."""
    named = {_FINGERS[word] for word in words if word in _FINGERS}
    bare = {_NUMBERS.get(word, "") for word in words if word not in _SIDES and word != "hand"}
    words = [word for word in words if word not in _ENDINGS]
    return named | (_numbers(words, -1) or _numbers(words, 1)) or (bare if "" not in bare else set())


def _numbers(words: list[str], step: int) -> set[str]:
    """Fingers of the numbers whose neighbour, one ``step`` away, is a joint or a word for finger."""
    padded = ["", *words, ""]
    beside = {row for row, word in enumerate(padded) if word in _JOINTS or word in _COUNTED}
    return {_NUMBERS[word] for row, word in enumerate(padded) if word in _NUMBERS and row + step in beside}


def _only(found: set[str]) -> str:
    """The only element of a set, or ""."""
    return next(iter(found)) if len(found) == 1 else ""
