"""What terminals, logs and records must not say: where a data set lies, and what tells whose radiographs it holds.

One object of a process, :data:`REDACTION`, learns these from the data sets that are read, and changes texts on their
way out: log records, warnings, errors, lists of rejected files, settings.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

_UID = re.compile(r"\d+([._]\d+){4,}")
_DAY, _MONTH, _YEAR = r"(0[1-9]|[12]\d|3[01])", r"(0[1-9]|1[0-2])", r"(19|20)\d{2}"
_DATE = re.compile(
    rf"(?<!\d)({_YEAR}[-_.]?{_MONTH}[-_.]?{_DAY}|{_DAY}[-_.]?{_MONTH}[-_.]?{_YEAR}|{_MONTH}[-_.]{_DAY}[-_.]{_YEAR})(?!\d)"
)
_PSEUDONYM = re.compile(r"(radiograph|folder|list|mark)_[0-9a-f]{12}")
_SHORTEST = 3
"""Values shorter than this are found in any name by chance."""
_SHORTEST_WORD = 4
"""Values shorter than this are found in any text by chance."""


def pseudonym(text: str, kind: str = "radiograph") -> str:
    """``<kind>_<12 digits>``: the same for the same text."""
    return f"{kind}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def is_pseudonym(text: str) -> bool:
    """Whether a text is a pseudonym."""
    return _PSEUDONYM.fullmatch(text) is not None


def without_pseudonyms(text: str) -> str:
    """A text without the pseudonyms that it holds."""
    return _PSEUDONYM.sub(" ", text)


def bare(text: str) -> str:
    """Letters and digits of a text alone, without accents and case: ``Doe_Jané`` and ``doe jane`` are one name."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if letter.isalnum())


def tells(name: str, values: Iterable[str] = ()) -> bool:
    """Whether a name holds a UID, a date or one of the values."""
    if _UID.search(name) or _DATE.search(name):
        return True
    plain = bare(name)
    return any(len(value) >= _SHORTEST and value in plain for value in map(bare, values))


def without_told(path: str, values: Iterable[str] = ()) -> str:
    """A path whose parts that hold a UID, a date or one of the values are pseudonyms."""
    return "/".join(_hidden(part) if tells(part, values) else part for part in path.split("/"))


class Redaction:
    """Texts without what must not be said; knows nothing until it is told."""

    def __init__(self) -> None:
        self._roots: dict[str, str] = {}
        self._lists: dict[str, str] = {}
        self._files: dict[str, str] = {}
        self._values: set[str] = set()

    def hide_folder(self, folder: str | Path, shown: str) -> None:
        """Let a data set's folder be ``shown`` in logs and records."""
        for path in {str(folder), str(Path(folder).expanduser().resolve())}:
            if "/" in path.strip("/."):
                self._roots |= dict.fromkeys((path.rstrip("/"), json.dumps(path.rstrip("/"))[1:-1]), shown)

    def hide_list(self, name: str, shown: str) -> None:
        """Let the name of a list be ``shown`` in logs and records."""
        self._lists[name] = shown

    def hide_file(self, path: str, shown: str) -> None:
        """Let a path that tells be ``shown`` everywhere."""
        self._files[path] = shown

    def hide_values(self, values: Iterable[str]) -> None:
        """Let words that are one of the values be pseudonyms everywhere."""
        self._values.update(value for value in values if len(value) >= _SHORTEST)

    def on_terminal(self, text: str) -> str:
        """A text for the terminal: folders as they are, but for what tells whose radiographs they hold."""
        for path in self._found(self._files, text):
            text = text.replace(path, self._files[path])
        for root in self._found(self._roots, text):
            text = re.sub(rf"{re.escape(root)}(?:/[^/\n'\",:;)\]]+)*", lambda path: self._path(path[0]), text)
        return self._words(text)

    def in_record(self, text: str) -> str:
        """A text for a log or a file: folders of data sets and lists have their private names as well."""
        text = self.on_terminal(text)
        shown = self._roots | {self._path(root): name for root, name in self._roots.items()} | self._lists
        for name in self._found(shown, text):
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", shown[name], text)
        return text

    @staticmethod
    def _found(known: Iterable[str], text: str) -> list[str]:
        return sorted((part for part in known if part in text), key=len, reverse=True)

    def _path(self, path: str) -> str:
        """A path whose parts that tell are pseudonyms; above a data set only values of its headers tell."""
        root = max(self._found(self._roots, path), key=len, default="")
        above = [pseudonym(part) if self._is_told(part) else part for part in root.split("/")]
        return "/".join(above) + without_told(path[len(root) :], self._values)

    def _is_told(self, part: str) -> bool:
        plain = bare(part)
        return any(len(value) >= _SHORTEST and value in plain for value in map(bare, self._values))

    def _words(self, text: str) -> str:
        """Words as the headers write them are found; of others, which may be ours, the case differs."""
        for value in self._found((value for value in self._values if len(value) >= _SHORTEST_WORD), text):
            text = re.sub(rf"(?<![^\W_]){re.escape(value)}(?![^\W_])", pseudonym(value), text)
        return text


def _hidden(part: str) -> str:
    """A part of a path as a pseudonym, with its ending."""
    ending = re.search(r"(\.nii)?\.[A-Za-z]{2,5}$", part)
    stem = part[: ending.start()] if ending else part
    return pseudonym(stem) + (ending[0] if ending else "")


REDACTION = Redaction()
"""Of this process."""
