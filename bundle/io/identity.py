"""Names of results that do not tell whose radiograph they come from.

Hospitals name files and folders by patients, dates and UIDs, results are named after their files, and readers write
names into the labels of their marks. Three rules give names:

- Files and their folders keep their names unless these hold a UID, a date, or what a DICOM header of the same data set
  says of its patient, study or institution (:func:`private_name`).
- Labels of marks, the folder of a data set and its lists keep only words that are known to tell nothing
  (:func:`private_label`, :func:`private_folder`, :func:`private_list`): of these no header says whose they are.
- All else is a pseudonym: a checksum, the same for the same text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from bundle.base import bare_values, holds, is_pseudonym, pseudonym, tells, without_pseudonyms
from bundle.io.dicom import is_dicom, read_header
from bundle.joint import FINGERS
from pydicom.config import disable_value_validation
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

_IDENTITY = (
    "AccessionNumber",
    "AdmissionID",
    "DeviceSerialNumber",
    "FillerOrderNumberImagingServiceRequest",
    "InstitutionAddress",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "IssuerOfPatientID",
    "MedicalRecordLocator",
    "OtherPatientIDs",
    "PatientAddress",
    "PatientID",
    "PatientTelephoneNumbers",
    "PerformedProcedureStepID",
    "PlacerOrderNumberImagingServiceRequest",
    "RequestedProcedureID",
    "ScheduledProcedureStepID",
    "ServiceEpisodeID",
    "StationName",
    "StudyID",
)
_PRIVATE_TEXTS = ("LO", "SH", "ST", "LT", "UT", "UC")
_STANDARD = "1.2.840.10008."
"""Root of the UIDs that DICOM itself defines."""
_SHORTEST_PRIVATE = 5
"""Private texts shorter than this are codes of a manufacturer."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ANATOMY_WORDS = """
    thumb index middle ring small little pinky fore finger fingers digit digits hand hands wrist carpus carpal carpals
    mcp mcpj pip pipj dip dipj ip ipj cmc mtp joint joints phalanx phalanges metacarpal metacarpals bone bones proximal
    distal medial lateral ulnar radial dorsal palmar left right upper lower base head tip center centre of the and other
    d f l m p r markups fiducial point points line mark marks first second third fourth fifth i ii iii iv v
"""
_ANATOMY = _words(_ANATOMY_WORDS)
_PLACE_WORDS = """
    data dataset datasets set sets image images radiograph radiographs xray xrays x ray rays dicom dcm png pack packed
    list lists k ls dr all train training test testing val validation evaluation overlap nonoverlap non case cases
    phantom phantoms study studies patient patients anonymization anonymized public blsgan fold split part a b c
"""
_PLACES = _ANATOMY | _words(_PLACE_WORDS)
DATA_SETS = ("dataset_dir", "packed")
"""Settings that are the folder, or the pack, of a data set."""
LISTS = ("datalist", "test_datalist", "training_datalist")
"""Settings that are names of lists."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
"""A word, of several that are written as ``indexMCP``, or a number."""
_LONGEST_NUMBER = 3
"""Digits of numbers that tell nothing."""


def safe_name(name: str) -> str:
    """A name that can be that of a file."""
    return re.sub(r"[^\w.-]", "_", name).lstrip(".")


def private_name(name: str, path: str | Path, told: Collection[str] = ()) -> str:
    """``name``, or a pseudonym where it holds a UID, a date, or what DICOM headers say of a patient.

    Args:
        name: of a file or a folder, or a path.
        path: of the file whose header is looked at.
        told: by other headers (:func:`told_by`), as :func:`bundle.base.bare_values` gives it.
    """
    if is_pseudonym(name) or not (tells(name, told) or holds(name, bare_values(_told(str(path))))):
        return name
    return pseudonym(name)


def told_by(paths: Iterable[str | Path]) -> frozenset[str]:
    """What the headers of those files that are DICOM say of their patients, studies and institutions."""
    return frozenset(value for path in paths for value in _told(str(path)))


def private_label(label: str) -> str:
    """A mark's label: its words of anatomy and short numbers, with a pseudonym in front where there are others.

    >>> private_label("Index MCP 2"), private_label("Doe Jane index")
    ('Index_MCP_2', 'mark_6c9bfcf2ab8b_index')
    """
    return _plain(label, "mark", _ANATOMY)


def private_folder(folder: str | Path) -> str:
    """The last part of a data set's path, its words that tell nothing; a pseudonym in front where there are others."""
    return _plain(Path(folder).expanduser().resolve().name, "folder", _PLACES)


def private_list(name: str) -> str:
    """The name of a list, likewise; ``"*"`` for all radiographs stays."""
    return name if name in ("", "*") else _plain(Path(name).name.removesuffix(".json"), "list", _PLACES)


def private_setting(name: str, value: Any) -> Any:
    """The value of a setting as it may be written: a data set or a list by its private name, a path by its last part.

    Args:
        name: of the setting, which tells what the value is.
        value: mappings and lists are gone through.
    """
    if isinstance(value, Mapping):
        return {key: private_setting(str(key), part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [private_setting(name, part) for part in value]
    if not isinstance(value, str) or not value:
        return value
    if name in DATA_SETS:
        return private_folder(value)
    return private_list(value) if name in LISTS else without_folders(value)


def without_folders(text: str) -> str:
    """A text whose absolute paths are cut to their last part."""
    if text.startswith("/") and not re.search(r"['\"\n]", text):
        return Path(text).name or text
    return re.sub(r"(?<![\w.~/:-])(?:/[\w.+~-]+)+/([\w.+~-]+)/?", r"\1", text)


def _plain(text: str, kind: str, known: Collection[str]) -> str:
    """A text that has only known words and short numbers; else its known words behind a pseudonym of the rest."""
    words = _WORD.findall(without_pseudonyms(text))
    letters = [word for word in words if not word.isdigit()]
    plain = [word for word in letters if word.lower() in known or len(word) == len(letters) == 1]
    numbers = [word for word in words if word.isdigit() and len(word) <= _LONGEST_NUMBER]
    if len(plain) + len(numbers) == len(words) and (words or not text.strip()):
        return safe_name(text.strip())
    rest = re.sub(r"^[\W_]+|[\W_]+$", "", _WORD.sub(lambda word: "" if word[0] in plain else word[0], text))
    fingers = [name for word in letters for name in FINGERS if name in word.lower() and word not in plain]
    return "_".join([pseudonym(rest or text, kind), *(word for word in plain if len(word) > 1), *fingers])


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


@lru_cache(maxsize=1 << 16)
def patient_of(path: str) -> str:
    """A pseudonym of the patient that a DICOM file states, the same in all files of the patient; empty where none is.

    Args:
        path: of a radiograph of any kind.
    """
    if not is_dicom(path):
        return ""
    try:
        with disable_value_validation():
            header = read_header(path)
            stated = [str(header.get(keyword) or "").strip() for keyword in ("PatientID", "IssuerOfPatientID")]
    except Exception:  # a broken header raises about anything, and is refused where it is read
        return ""
    return pseudonym("|".join(stated), "patient") if stated[0] else ""


@lru_cache(maxsize=1 << 16)
def _told(path: str) -> tuple[str, ...]:
    """What the header of a DICOM file says of its patient, study and institution; nothing of other files."""
    if not is_dicom(path):
        return ()
    try:
        with disable_value_validation():
            header = read_header(path)
            elements = [*_elements(header), *_elements(header.file_meta)]
            values = [value for element in elements for value in _values(element)]
    except Exception:  # a broken header raises about anything, and is refused where it is read
        return ()
    return tuple(sorted({value.strip() for value in values if value.strip()}))


def _elements(dataset: Dataset) -> Iterator[DataElement]:
    """All elements that can be read, also those in sequences."""
    for tag in list(dataset.keys()):
        with suppress(Exception):  # a value that cannot be read says nothing, and the others do
            element = dataset[tag]
            if element.VR == "SQ":
                yield from (below for item in element.value for below in _elements(item))
            else:
                yield element


def _values(element: DataElement) -> Iterator[str]:
    """The texts of an element that tell whose it is."""
    several = element.value if element.VM > 1 else [element.value]
    texts = [str(value) for value in several]
    if element.VR == "PN":
        yield from (part for text in texts for part in re.split(r"[\^=, ]+", text))
    elif element.VR in ("UI", "DA", "DT") or element.keyword in _IDENTITY:
        yield from (text for text in texts if not text.startswith(_STANDARD))
    elif element.tag.is_private and not element.tag.is_private_creator and element.VR in _PRIVATE_TEXTS:
        yield from (text for text in texts if len(text) >= _SHORTEST_PRIVATE)
