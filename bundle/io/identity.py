"""Names of results that do not identify the patient.

Hospitals name files and folders by patients, dates and UIDs, results are named after their files, and readers write
names into the labels of their marks. Three rules give names:

- Files and their folders keep their names unless these contain a UID, a date, or a value of the patient, study or
  institution from a DICOM header of the same data set (:func:`private_name`).
- Labels of marks, the folder of a data set and its lists, which no header covers, keep only words known to be harmless
  (:func:`private_label`, :func:`private_folder`, :func:`private_list`).
- Everything else becomes a pseudonym: a checksum, the same for the same text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
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
DATA_SETS = ("dataset_dir", "no_hands_dir", "packed")
"""Settings whose value is the folder or the pack of a data set."""
LISTS = ("datalist", "test_datalist", "training_datalist")
"""Settings whose value is the name of a list."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
"""A word or a number; joined words, as in ``indexMCP``, are separate."""
_LONGEST_NUMBER = 3
"""Maximum number of digits of a harmless number."""


def safe_name(name: str) -> str:
    """Convert a name to a valid file name."""
    return re.sub(r"[^\w.-]", "_", name).lstrip(".")


def private_name(name: str, path: str | Path, told: Collection[str] = ()) -> str:
    """Return ``name``, or a pseudonym if it contains a UID, a date, or an identifying value of a DICOM header.

    Args:
        name: name of a file or a folder, or a path.
        path: path of the file whose header is searched.
        told: values of other headers (:func:`told_by`), as returned by :func:`bundle.base.bare_values`.
    """
    if is_pseudonym(name) or not (tells(name, told) or holds(name, bare_values(_told(str(path))))):
        return name
    return pseudonym(name)


def told_by(paths: Iterable[str | Path]) -> frozenset[str]:
    """Collect the values of patients, studies and institutions in the headers of DICOM files."""
    return frozenset(value for path in paths for value in _told(str(path)))


def private_label(label: str) -> str:
    """Reduce a mark's label to words of anatomy and short numbers, with a pseudonym in front for any other words.

    >>> private_label("Index MCP 2"), private_label("Doe Jane index")  # doctest: +ELLIPSIS
    ('Index_MCP_2', 'mark_..._index')
    """
    return _plain(label, "mark", _ANATOMY)


def private_folder(folder: str | Path) -> str:
    """Reduce the last part of a data set's path to harmless words, with a pseudonym in front for any other words."""
    return _plain(Path(folder).expanduser().resolve().name, "folder", _PLACES)


def private_list(name: str) -> str:
    """Reduce the name of a list in the same way; ``"*"``, all radiographs, is kept."""
    return name if name in ("", "*") else _plain(Path(name).name.removesuffix(".json"), "list", _PLACES)


def private_setting(name: str, value: Any) -> Any:
    """Return the private form of a setting: the private name of a data set or list, the last part of a path.

    Args:
        name: name of the setting, which determines the kind of the value.
        value: value of the setting; mappings and lists are converted recursively.
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
    """Cut the absolute paths in a text to their last part."""
    if text.startswith("/") and not re.search(r"['\"\n]", text):
        return Path(text).name or text
    return re.sub(r"(?<![\w.~/:-])(?:/[\w.+~-]+)+/([\w.+~-]+)/?", r"\1", text)


def _plain(text: str, kind: str, known: Collection[str]) -> str:
    """A text of known words and short numbers only; otherwise its known words after a pseudonym of the rest."""
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
    """Replace paths that identify the patient (:func:`private_name`) in a message by a name.

    Args:
        message: message that may quote the paths.
        paths: paths of the files of a radiograph.
        path: path of the radiograph itself.
        name: replacement.
    """
    for told in paths:
        if told and private_name(told, path) != told:
            message = message.replace(told, name)
    return message


def patient_of(path: str) -> str:
    """Compute the pseudonym of a DICOM file's patient, equal in all files of the patient; empty without a patient.

    Args:
        path: path of a radiograph of any format.
    """
    return _identity(path)[1]


def study_day(path: str) -> int | None:
    """Return the day of a DICOM file's study as a number of days, for differences only; None without a study date.

    Args:
        path: path of a radiograph of any format.
    """
    return _identity(path)[2]


def _told(path: str) -> tuple[str, ...]:
    """Values of patient, study and institution in the header of a DICOM file; empty for other files."""
    return _identity(path)[0]


@lru_cache(maxsize=1 << 16)
def _identity(path: str) -> tuple[tuple[str, ...], str, int | None]:
    """Identifying values, pseudonym of the patient and day of the study, from one reading of the header."""
    told: tuple[str, ...] = ()
    patient, day = "", None
    if is_dicom(path):
        # a damaged header raises almost any error, and is rejected on reading
        with suppress(Exception), disable_value_validation():
            header = read_header(path)
            with suppress(Exception):
                patient = _patient(header)
            with suppress(Exception):
                day = datetime.strptime(str(header.StudyDate).strip(), "%Y%m%d").date().toordinal()
            told = _identifying(header)
    return told, patient, day


def _patient(header: Dataset) -> str:
    """Pseudonym of the patient that a header states."""
    stated = [str(header.get(keyword) or "").strip() for keyword in ("PatientID", "IssuerOfPatientID")]
    return pseudonym("|".join(stated), "patient") if stated[0] else ""


def _identifying(header: Dataset) -> tuple[str, ...]:
    """Values of patient, study and institution in a header."""
    elements = [*_elements(header), *_elements(header.file_meta)]
    values = [value for element in elements for value in _values(element)]
    return tuple(sorted({value.strip() for value in values if value.strip()}))


def _elements(dataset: Dataset) -> Iterator[DataElement]:
    """All readable elements, including those in sequences."""
    for tag in list(dataset.keys()):
        with suppress(Exception):  # skips a value that cannot be read
            element = dataset[tag]
            if element.VR == "SQ":
                yield from (below for item in element.value for below in _elements(item))
            else:
                yield element


def _values(element: DataElement) -> Iterator[str]:
    """The texts of an element that identify the patient, study or institution."""
    several = element.value if element.VM > 1 else [element.value]
    texts = [str(value) for value in several]
    if element.VR == "PN":
        yield from (part for text in texts for part in re.split(r"[\^=, ]+", text))
    elif element.VR in ("UI", "DA", "DT") or element.keyword in _IDENTITY:
        yield from (text for text in texts if not text.startswith(_STANDARD))
    elif element.tag.is_private and not element.tag.is_private_creator and element.VR in _PRIVATE_TEXTS:
        yield from (text for text in texts if len(text) >= _SHORTEST_PRIVATE)
