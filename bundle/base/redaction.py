"""Redaction of terminal output, logs and records: folders of data sets, and identifying patient information.

One object per process, :data:`REDACTION`, collects these from the data sets that are read and redacts log records,
warnings, errors, lists of rejected files and settings.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

_UID = re.compile(r"\d+([._]\d+){4,}")
_DAY, _MONTH, _YEAR = r"(0[1-9]|[12]\d|3[01])", r"(0[1-9]|1[0-2])", r"(19|20)\d{2}"
_DATE = re.compile(
    rf"(?<!\d)({_YEAR}[-_.]?{_MONTH}[-_.]?{_DAY}|{_DAY}[-_.]?{_MONTH}[-_.]?{_YEAR}|{_MONTH}[-_.]{_DAY}[-_.]{_YEAR})(?!\d)"
)
_PSEUDONYM = re.compile(r"(radiograph|folder|list|mark)_[0-9a-f]{12}")
_WORD = re.compile(r"[\w.-]+")
_FOLD = re.compile(r"['\"]\n\s*['\"]")
_SHORTEST = 3
"""Minimum length of a value searched for in names; shorter ones occur by chance."""
_SHORTEST_WORD = 4
"""Minimum length of a value searched for in texts; shorter ones occur by chance."""


def pseudonym(text: str, kind: str = "radiograph") -> str:
    """Compute the pseudonym ``<kind>_<12 digits>`` of a text, a hash."""
    return f"{kind}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def is_pseudonym(text: str) -> bool:
    """Whether a text is a pseudonym."""
    return _PSEUDONYM.fullmatch(text) is not None


def without_pseudonyms(text: str) -> str:
    """Remove the pseudonyms from a text."""
    return _PSEUDONYM.sub(" ", text)


def bare(text: str) -> str:
    """Reduce a text to letters and digits without accents and case: ``Doe_Jané`` and ``doe jane`` are equal."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if letter.isalnum())


def bare_values(values: Iterable[str]) -> frozenset[str]:
    """Normalize values for the search in names (:func:`bare`), dropping those that are too short."""
    return frozenset(value for value in map(bare, values) if len(value) >= _SHORTEST)


def holds(name: str, values: Collection[str]) -> bool:
    """Whether a name contains one of the values (:func:`bare_values`); the time does not depend on their number."""
    plain = bare(name)
    ends = range(_SHORTEST, len(plain) + 1)
    return bool(values) and any(plain[start:end] in values for end in ends for start in range(end - _SHORTEST + 1))


def tells(name: str, values: Collection[str] = ()) -> bool:
    """Whether a name contains identifying information: a UID, a date or one of the values (:func:`bare_values`)."""
    return bool(_UID.search(name) or _DATE.search(name)) or holds(name, values)


def without_told(path: str, values: Collection[str] = ()) -> str:
    """Replace identifying components of a path (:func:`tells`) by pseudonyms."""
    return "/".join(_hidden(part, values) if tells(part, values) else part for part in path.split("/"))


class Redaction:
    """Redaction of texts; it hides nothing until the ``hide_*`` methods register folders, lists, files and values."""

    def __init__(self) -> None:
        self._roots: dict[str, str] = {}
        self._lists: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self._values: set[str] = set()
        self._phrases: set[str] = set()
        self._bare: set[str] = set()

    def hide_folder(self, folder: str | Path, shown: str) -> None:
        """Show a data set's folder as ``shown`` in logs and records."""
        for path in {str(folder), str(Path(folder).expanduser().resolve())}:
            if "/" in path.strip("/."):
                self._roots |= dict.fromkeys((path.rstrip("/"), json.dumps(path.rstrip("/"))[1:-1]), shown)

    def hide_list(self, name: str, shown: str) -> None:
        """Show the name of a list as ``shown`` in logs and records."""
        self._lists[name] = shown

    def hide_file(self, path: str, shown: str) -> None:
        """Show an identifying path as ``shown`` everywhere."""
        self._files[path] = shown

    def hide_values(self, values: Iterable[str]) -> None:
        """Replace words equal to one of the values by pseudonyms everywhere."""
        fresh = {value for value in values if len(value) >= _SHORTEST} - self._values
        self._values |= fresh
        self._phrases |= {value for value in fresh if not _WORD.fullmatch(value)}
        self._bare |= bare_values(fresh)

    def on_terminal(self, text: str) -> str:
        """Redact a text for the terminal: folders stay, except for their identifying components."""
        text = self._unfolded(text)
        roots = self._found(self._roots, text)
        for path in self._found(self._files, text) if roots else ():
            text = text.replace(path, self._files[path])
        for root in roots:
            text = re.sub(rf"{re.escape(root)}(?:/[^/\n'\",:;)\]]+)*", lambda path: self._path(path[0]), text)
        return self._words(text)

    def in_record(self, text: str) -> str:
        """Redact a text for a log or a file: the folders and lists of data sets are also replaced."""
        text = self.on_terminal(text)
        shown = self._roots | {self._path(root): name for root, name in self._roots.items()} | self._lists
        for name in self._found(shown, text):
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", shown[name], text)
        return text

    def _unfolded(self, text: str) -> str:
        """Join strings that ``pprint`` has split over lines at their spaces, if a hidden path was split."""
        whole = _FOLD.sub("", text)
        hidden = (*self._roots, *self._files)
        return whole if any(path in whole and path not in text for path in hidden) else text

    @staticmethod
    def _found(known: Iterable[str], text: str) -> list[str]:
        return sorted((part for part in known if part in text), key=len, reverse=True)

    def _path(self, path: str) -> str:
        """Pseudonymize a path; above the data set's folder only header values count as identifying."""
        root = max(self._found(self._roots, path), key=len, default="")
        above = [_hidden(part, self._bare) if holds(part, self._bare) else part for part in root.split("/")]
        return "/".join(above) + without_told(path[len(root) :], self._bare)

    def _words(self, text: str) -> str:
        """Replace words spelled as in the headers; the match is case-sensitive to spare words of this software."""
        words = {part for word in _WORD.findall(text) for part in (word, word.strip("._-"), *re.split("[_.-]", word))}
        found = [value for value in self._phrases if value in text] + list(self._values & words)
        for value in sorted((value for value in found if len(value) >= _SHORTEST_WORD), key=len, reverse=True):
            text = re.sub(rf"(?<![^\W_]){re.escape(value)}(?![^\W_])", pseudonym(value), text)
        return text


def _hidden(part: str, values: Collection[str]) -> str:
    """Pseudonym of a path component, keeping the extension; of several words only the identifying ones, if any."""
    words = part.split(" ")
    if len(words) > 1 and any(tells(word, values) for word in words):
        return " ".join(_hidden(word, values) if tells(word, values) else word for word in words)
    ending = re.search(r"(\.nii)?\.[A-Za-z]{2,5}$", part)
    stem = part[: ending.start()] if ending else part
    return pseudonym(stem) + (ending[0] if ending else "")


REDACTION = Redaction()
"""The redaction of this process."""
