"""Names of results that do not tell whose radiograph they come from.

Hospitals name files and folders by patients, dates and UIDs, and results are named after their files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from bundle.data.dicom import is_dicom
from bundle.data.files import stored

_UID = re.compile(r"\d+([._]\d+){4,}")
_DATE = re.compile(r"(?<!\d)(19|20)\d{2}[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)")
_IDENTITY = (
    "PatientID",
    "IssuerOfPatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "StudyID",
    "InstitutionName",
    "StationName",
)
_SHORTEST = 3
"""Values shorter than this are found in any name by chance."""


def safe_name(name: str) -> str:
    """A name that can be that of a file."""
    return re.sub(r"[^\w.-]", "_", name).lstrip(".")


def private_name(name: str, path: str | Path) -> str:
    """``name``, or a pseudonym where it holds a UID, a date, or what the DICOM file at ``path`` says of its patient."""
    told = [value for value in _told(str(path)) if value in name.lower()]
    if told or _UID.search(name) or _DATE.search(name):
        return f"radiograph_{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return name


def discreet(message: str, paths: Iterable[str], path: str | Path, name: str) -> str:
    """A message in which paths that tell whose radiograph it is, as :func:`private_name` knows it, are a name instead.

    Args:
        message: that may quote the paths.
        paths: of the files of a radiograph.
        path: of the radiograph itself.
        name: what they are called.
    """
    for told in paths:
        if told and private_name(told, path) != told:
            message = message.replace(told, name)
    return message


@lru_cache(maxsize=64)
def _told(path: str) -> tuple[str, ...]:
    """What the header of a DICOM file says of its patient and study, in lower case; nothing of other files."""
    if not is_dicom(path):
        return ()
    try:
        with disable_value_validation(), stored(path).open() as file:
            values = list(_values(pydicom.dcmread(file, stop_before_pixels=True)))
    except Exception:  # a broken header raises about anything, and is refused where it is read
        return ()
    return tuple(value.lower() for value in values if len(value) >= _SHORTEST)


def _values(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "PN":
            yield from re.split(r"[\^=, ]+", str(element.value))
        elif element.VR in ("UI", "DA") or element.keyword in _IDENTITY:
            yield str(element.value)
