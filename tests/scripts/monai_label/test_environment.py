"""The bundle in the environment of MONAI Label: other versions of packages, and what ITK reads."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path

import numpy as np
import pytest
from bundle.io.dicom_writing import DicomStudy, write_dicom
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from PIL import Image
from tests.scripts.monai_label.label_server import ROOT
from tests.scripts.monai_label.studies import SPACING, phantom, write_planted_dicom


@pytest.mark.long
def test_the_bundle_works_with_the_packages_of_monai_label(label_python: str, tmp_path: Path) -> None:
    write_planted_dicom(tmp_path / "joint.dcm", 3)
    code = (
        "import numpy, pydicom, sys\n"
        "from bundle.io.joints import joint_items\n"
        "from bundle.io.reading import read_stated\n"
        "import bundle.separation, bundle.evaluation, bundle.inference, bundle.workflow\n"
        "from bundle.quality.uncertainty import SIGNS, Calibration\n"
        "signs = {name: [0.1, 0.2, 0.3, 0.4, 0.5] for name in SIGNS}\n"
        "Calibration.fit(signs, [0.1, 0.2, 0.3, 0.4, 0.5], list('abcde'), 'any', {})\n"
        "found = read_stated(sys.argv[1])\n"
        "print(pydicom.__version__, numpy.__version__, found.spacing[0], found.laterality)\n"
        "numpy.save(sys.argv[2], found.intensity)\n"
    )
    command = [label_python, "-c", code, str(tmp_path / "joint.dcm"), str(tmp_path / "read.npy")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    dicom, numpy, spacing, side = result.stdout.split()
    assert (dicom.split(".")[0], numpy.split(".")[0], side) == ("2", "1", "L")
    assert float(spacing) == pytest.approx(SPACING, abs=1e-6)
    image = render(sample_parameters(3)).image[0].numpy()
    assert np.abs(np.load(tmp_path / "read.npy") - image).max() < 1e-4


def write_placed(folder: Path) -> None:
    """Radiographs whose spacing ITK and the separator take from different places."""
    image = phantom("x_43").image[0].numpy()
    grey = Image.fromarray(np.rint(image * 255).astype(np.uint8))
    grey.save(folder / "dpi.jpg", dpi=(300, 300), quality=95)
    grey.save(folder / "dpi.tif", dpi=(310, 310))
    grey.save(folder / "dpi.png", dpi=(300, 300))
    grey.save(folder / "plain.bmp")
    for orientation, ending in itertools.product((2, 5, 6, 8), ("png", "jpg", "tif")):
        exif = Image.Exif()
        exif[274] = orientation
        grey.crop((0, 0, 200, 256)).save(folder / f"turned_{orientation}.{ending}", exif=exif)
    for name, kept in (
        ("pixel", {}),
        ("detector", {}),
        ("magnified", {"EstimatedRadiographicMagnificationFactor": 1.2}),
    ):
        dataset = DicomStudy("1", name, "L").image(image, (SPACING, SPACING), "a phantom", True)
        for key in ("PixelSpacing", "ImagerPixelSpacing", "EstimatedRadiographicMagnificationFactor"):
            if key in dataset:
                delattr(dataset, key)
        setattr(dataset, "PixelSpacing" if name == "pixel" else "ImagerPixelSpacing", [SPACING, SPACING])
        for key, value in kept.items():
            setattr(dataset, key, value)
        write_dicom(folder / f"{name}.dcm", dataset)


@pytest.mark.long
def test_a_label_lies_where_itk_sees_its_radiograph(label_python: str, tmp_path: Path) -> None:
    write_placed(tmp_path)
    code = (
        "import itk, sys, json, torch, numpy\n"
        "from pathlib import Path\n"
        "from bundle.io import read_stated\n"
        "from scripts.monai_label.label_map import write_label_map\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.*')):\n"
        "    made = Path(sys.argv[1], 'made', f'{path.name}.nii.gz')\n"
        "    made.parent.mkdir(exist_ok=True)\n"
        "    seen = torch.from_numpy(read_stated(path).intensity)\n"
        "    masks = torch.stack([seen > (seen.max() + seen.min()) / 2, seen < 0]).float()\n"
        "    write_label_map(made, masks, path, None)\n"
        "    image, label = (itk.imread(str(each), itk.F) for each in (path, made))\n"
        "    size = image.GetImageDimension()\n"
        "    for part in ('GetSpacing', 'GetOrigin'):\n"
        "        a, b = (list(getattr(each, part)())[:size] for each in (image, label))\n"
        "        assert numpy.allclose(a, b, atol=1e-5), (path.name, part, a, b)\n"
        "    a, b = (itk.array_from_matrix(each.GetDirection())[:size, :size] for each in (image, label))\n"
        "    assert numpy.allclose(a, b), (path.name, a, b)\n"
        "    drawn = numpy.squeeze(itk.array_from_image(label))\n"
        "    stored = numpy.squeeze(itk.array_from_image(image))\n"
        "    assert drawn.shape == stored.shape, (path.name, drawn.shape, stored.shape)\n"
        "    assert (drawn == (stored > (stored.max() + stored.min()) / 2)).mean() > 0.99, path.name\n"
        "    print(path.name, list(image.GetSpacing())[:2])\n"
    )
    command = [label_python, "-c", code, str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 7 + 12
