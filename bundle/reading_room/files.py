"""Files that a page saves."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from bundle.io import LATERALITY, write_radiograph
from bundle.reading_room.opened import Change, OpenedJoint
from starlette.responses import Response

MEDIA = {"png": "image/png", "dcm": "application/dicom"}


def changed_radiograph(
    opened: OpenedJoint, name: str, change: Change, seed: int | None, ending: str, version: str
) -> Response:
    """Return a synthetic radiograph as a file.

    Args:
        opened: the joint.
        name: name of the joint, for the file.
        change: change of the joint.
        seed: random seed of the noise texture; None for no noise texture.
        ending: ``png``, 16-bit, or ``dcm``.
        version: version of the bundle.
    """
    image, joint = opened.synthesized(change, seed), opened.layers.joint
    described = json.dumps({**vars(change), "noise_seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"changed.{ending}"
        study = (version, joint.name, LATERALITY.get(joint.side, ""))
        write_radiograph(path, image, (joint.spacing_mm,) * 2, study, f"{joint.name}: {described}", synthetic=True)
        content = path.read_bytes()
    return attachment(content, f"{name}_{change.change_mm:+.2f}mm.{ending}", MEDIA[ending])


def attachment(content: bytes, file: str, media_type: str) -> Response:
    """Return a file that the browser saves; its name is reduced to letters, digits and ``._+-``."""
    safe = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._+-") else "_" for letter in file)
    headers = {"Content-Disposition": f"attachment; filename={safe}"}
    return Response(content, media_type=media_type, headers=headers)
