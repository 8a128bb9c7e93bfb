"""Data sets of tiny phantoms in every format that is read, with an identifier wherever a format has room for one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from bundle.hands.landmarks import ATLAS_POINTS
from bundle.io.frames import JointFrame, JointPlace
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from nibabel.nifti1 import Nifti1Extension
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngInfo
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from tests.configs.traces import Plants
from tests.hands.hand_drawings import drawing, placed

SPACING = MCP.spacing_mm

SIZE = 64
FRAME_SPACING = 256 * SPACING / SIZE
HAND_SPACING = 0.16
HAND_SIZE = 240
PLACE = ((120.0, 125.0), (0.3, -1.0))
FORMATS = (".dcm", ".png", ".tif", ".jpg", ".nii.gz", ".bmp")
CODES = ("2", "5", "8", "11", "13", "2", "5", "8")

_PEOPLE = re.findall(
    r"\w+",
    """
PatientName PatientBirthName PatientMotherBirthName OtherPatientNames ReferringPhysicianName OperatorsName
PerformingPhysicianName NameOfPhysiciansReadingStudy PhysiciansOfRecord RequestingPhysician ResponsiblePerson
""",
)
_TEXTS = re.findall(
    r"\w+",
    """
PatientID IssuerOfPatientID OtherPatientIDs AccessionNumber StudyID InstitutionName InstitutionAddress
InstitutionalDepartmentName StationName DeviceSerialNumber PatientAddress PatientTelephoneNumbers MedicalRecordLocator
AdmissionID RequestedProcedureID ScheduledProcedureStepID PerformedProcedureStepID ServiceEpisodeID StudyDescription
SeriesDescription ProtocolName PatientComments ImageComments AdditionalPatientHistory Occupation CountryOfResidence
RegionOfResidence EthnicGroup DetectorID PlateID Manufacturer ManufacturerModelName SoftwareVersions MilitaryRank
DerivationDescription AcquisitionDeviceProcessingDescription RequestedProcedureDescription Allergies MedicalAlerts
""",
)
_DATES = re.findall(
    r"\w+",
    """
StudyDate SeriesDate AcquisitionDate ContentDate PatientBirthDate InstanceCreationDate
""",
)
_UIDS = re.findall(
    r"\w+",
    """
StudyInstanceUID SeriesInstanceUID SOPInstanceUID FrameOfReferenceUID DeviceUID InstanceCreatorUID
""",
)
_SEQUENCES = re.findall(
    r"\w+",
    """
RequestAttributesSequence OtherPatientIDsSequence ReferencedPatientSequence
""",
)


class Header:
    """A DICOM header with an identifier in every element that has room; all files of a data set share it.

    Attributes:
        names: of the identifiers those that files may be called after.
    """

    def __init__(self, plants: Plants) -> None:
        self.values: dict[str, Any] = {}
        for keyword in _PEOPLE:
            self.values[keyword] = "^".join(plants.word(keyword) for _ in range(2))
        self.values |= {keyword: plants.word(keyword) for keyword in _TEXTS}
        self.values |= {keyword: plants.date(keyword) for keyword in _DATES}
        self.values |= {keyword: plants.uid(keyword) for keyword in _UIDS}
        self.values["ContentTime"] = plants.word("a time that is none")
        nested = ("PatientID", "PatientName", "StudyInstanceUID")
        self.nested = {
            sequence: {key: plants.uid(sequence) if "UID" in key else plants.word(sequence) for key in nested}
            for sequence in _SEQUENCES
        }
        self.private = [plants.word("private element") for _ in range(3)]
        self.meta = {key: plants.word(key) for key in ("ImplementationVersionName", "SourceApplicationEntityTitle")}
        self.preamble, self.padding = plants.word("preamble"), plants.word("padding")
        people = [part for keyword in _PEOPLE for part in self.values[keyword].split("^")]
        inner = [self.nested[sequence]["PatientName"] for sequence in _SEQUENCES]
        told = [self.values[key] for key in (*_TEXTS[:8], *_DATES, *_UIDS)]
        self.names = [*people, *inner, *told, *self.private]

    def write(self, path: Path, image: NDArray[Any], spacing: float) -> None:
        """Write a radiograph (H, W) of 0 to 65535."""
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1")
        meta.MediaStorageSOPInstanceUID = UID(self.values["SOPInstanceUID"])
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = Dataset()
        made.file_meta, made.preamble = meta, self.preamble.ljust(128, "\0").encode()
        pixels = {"Rows": image.shape[0], "Columns": image.shape[1], "SamplesPerPixel": 1, "PixelRepresentation": 0}
        pixels |= {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PhotometricInterpretation": "MONOCHROME2"}
        pixels |= {"SOPClassUID": meta.MediaStorageSOPClassUID, "Modality": "CR", "PixelSpacing": [spacing] * 2}
        pixels |= {"PixelData": image.astype("<u2").tobytes(), "DataSetTrailingPadding": self.padding.encode()}
        with disable_value_validation():
            for name, value in {**self.values, **pixels}.items():
                setattr(made, name, value)
            for name, value in self.meta.items():
                setattr(meta, name, value)
            for sequence, values in self.nested.items():
                item = Dataset()
                for name, value in values.items():
                    setattr(item, name, value)
                setattr(made, sequence, [item])
            block = made.private_block(0x0011, "MAKER", create=True)
            for offset, text in enumerate(self.private, start=1):
                block.add_new(offset, ("LO", "UT", "ST")[offset - 1], text)
            made["PixelData"].VR = "OW"
            made.save_as(path, enforce_file_format=True)


def write_radiograph(path: Path, image: NDArray[Any], spacing: float, header: Header, plants: Plants) -> None:
    """Write a radiograph (H, W) in [0, 1] in the format of the path, with identifiers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey, deep = np.rint(image * 255).astype(np.uint8), np.rint(image * 65535)
    picture = Image.fromarray(grey)
    if path.name.endswith(".dcm"):
        header.write(path, deep, spacing)
    elif path.name.endswith(".png"):
        told = PngInfo()
        told.add_text("Author", plants.word("PNG tEXt"))
        told.add_text("Comment", plants.word("PNG zTXt"), zip=True)
        told.add_itxt("Title", plants.word("PNG iTXt"), zip=True)
        picture.save(path, pnginfo=told, exif=_exif(plants))
    elif path.name.endswith(".tif"):
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        for tag in (270, 305, 315, 316, 33432):
            tags[tag] = plants.word(f"TIFF tag {tag}")
        picture.save(path, tiffinfo=tags)
    elif path.name.endswith(".jpg"):
        picture.save(path, quality=95, exif=_exif(plants), comment=plants.word("JPEG comment"))
    elif path.name.endswith(".nii.gz"):
        volume = nib.Nifti1Image(image.T.astype(np.float32), np.diag([-spacing, -spacing, 1.0, 1.0]))
        volume.header.set_xyzt_units("mm")
        for field in ("descrip", "intent_name", "aux_file", "db_name"):
            volume.header[field] = plants.word(f"NIfTI {field}")
        volume.header.extensions.append(Nifti1Extension("comment", plants.word("NIfTI extension").encode()))
        nib.save(volume, path)
    else:
        picture.save(path)
        path.write_bytes(path.read_bytes() + plants.word("behind a BMP").encode())


def _exif(plants: Plants) -> Image.Exif:
    exif = Image.Exif()
    for tag in (270, 305, 315, 33432):
        exif[tag] = plants.word(f"EXIF tag {tag}")
    exif[0x9C9D] = plants.word("EXIF XPAuthor").encode("utf-16-le")
    return exif


def frames(root: Path, plants: Plants, train: int = 5, test: int = 3) -> tuple[str, str]:
    """Write joints with masks, two radiographs of each, and two lists; their names without ``.json``."""
    header = Header(plants)
    name = header.values["AdmissionID"]
    entries = [entry for row in range(train + test) for entry in _joint(root, row, header, plants)]
    entries[0]["joint"] = f"{header.values['AccessionNumber']}_R_8"
    lists = {f"{name}_train": entries[: 2 * train], f"{name}_test": entries[2 * train :]}
    for list_name, part in lists.items():
        (root / f"{list_name}.json").write_text(json.dumps(part))
    return tuple(lists)  # type: ignore[return-value]


def _joint(root: Path, row: int, header: Header, plants: Plants) -> list[dict[str, Any]]:
    folder = root / header.values["InstitutionName"] / f"{header.names[row]}_{'LR'[row % 2]}_{CODES[row]}"
    found = []
    for visit, width in enumerate((1.5, 1.2)):
        phantom = render(sample_parameters(row, size=SIZE, spacing=FRAME_SPACING, outline_gap_mm=width))
        stem = f"{visit} {header.names[-1 - 2 * row - visit]}"
        image = folder / f"{stem}{FORMATS[(2 * row + visit) % len(FORMATS)]}"
        write_radiograph(image, phantom.image[0].numpy(), FRAME_SPACING, header, plants)
        entry = {"image": str(image.relative_to(root)), "PatientName": plants.word("key of a list"), "spacing": 0.0}
        for bone, mask in zip(("lower", "upper"), phantom.masks.numpy(), strict=True):
            told = PngInfo()
            told.add_text("Author", plants.word("text of a mask"))
            path = folder / f"{stem}_mask_{bone}.png"
            Image.fromarray((mask > 0.5).astype(np.uint8) * np.uint8(255)).save(path, pnginfo=told)
            entry[bone] = str(path.relative_to(root))
        entry["spacing"] = FRAME_SPACING
        found.append(entry)
    return found


def films(root: Path, plants: Plants) -> None:
    """Write whole hands with a table of landmarks, and a film without a hand in a folder ``none`` below."""
    header = Header(plants)
    points = placed(240.0, (140.0, 160.0))
    image = drawing((320, 280), [points], 240.0, 0.036)[0].numpy()
    rows = ["name,reduction,patient," + ",".join(f"{axis}{number}" for number in range(37) for axis in "xy")]
    for row, suffix in enumerate((".dcm", ".png", ".tif", ".jpg")):
        write_radiograph(root / f"{header.names[row]}{suffix}", image, 0.2, header, plants)
        known = {number: point for number, point in zip(ATLAS_POINTS, points, strict=True)}
        cells = [f"{value:.2f}" for number in range(37) for value in known.get(number, (0.0, 0.0))]
        rows.append(",".join([header.names[row], "2", plants.word("column of landmarks.csv"), *cells]))
    (root / "landmarks.csv").write_text("\n".join(rows))
    write_radiograph(root / "none" / f"{header.names[9]}.dcm", np.full((90, 90), 0.4), 0.2, header, plants)


def hands(root: Path, plants: Plants) -> None:
    """Write hands in four formats, each with a marked joint, with points in every format."""
    header = Header(plants)
    phantom = render(sample_parameters(23, outline_gap_mm=1.5))
    frame = JointFrame(JointPlace("index", *PLACE), (HAND_SPACING,) * 2)
    plain = torch.full((1, HAND_SIZE, HAND_SIZE), 0.4)
    image = frame.paste(plain, torch.full((1, 256, 256), 0.4), phantom.image)[0].numpy().clip(0.0, 1.0)
    for row, (suffix, points) in enumerate(zip((".dcm", ".png", ".tif", ".nii.gz"), _POINTS, strict=True)):
        folder = root / header.names[row]
        stem = f"{header.names[-1 - row]}-{row}"
        write_radiograph(folder / f"{stem}{suffix}", image, HAND_SPACING, header, plants)
        label = f"{plants.word(f'label in {points}')} index {plants.word(f'label in {points}')}"
        (folder / f"{stem}{points}").write_text(_points(points, label, plants.word(f"more in {points}")))


_POINTS = (".fcsv", ".mrk.json", ".csv", ".json")


def _points(kind: str, label: str, more: str) -> str:
    """The marked joint in a format of points."""
    (x, y), (u, v) = PLACE
    ends = [(HAND_SPACING * px, HAND_SPACING * py) for px, py in ((x, y), (x + 10 * u, y + 10 * v))]
    if kind == ".fcsv":
        rows = [f"{more}_{n},{px},{py},0,0,0,0,1,1,1,0,{label},{more},," for n, (px, py) in enumerate(ends)]
        return "\n".join([f"# {more}", "# CoordinateSystem = LPS", *(row.removesuffix(",") for row in rows)])
    if kind == ".mrk.json":
        points = [{"label": label, "position": [px, py, 0.0], "description": more} for px, py in ends]
        return json.dumps({"markups": [{"coordinateSystem": "LPS", "controlPoints": points, "name": more}]})
    if kind == ".csv":
        return f"name,x,y,direction_x,direction_y,patient\n{label},{x},{y},{u},{v},{more}\n"
    return json.dumps([{"name": label, "center": [x, y], "direction": [u, v], "patient": more}])
