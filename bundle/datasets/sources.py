"""Separated joints on disk: separated once, moved as often as a data set of synthetic radiographs needs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch
from bundle.base import read_json
from bundle.errors import InputError
from bundle.io import are_whole, replacing, sums_of, write_bytes
from bundle.measurement import JointSpace, JointSurfaces
from bundle.networks import load_failure
from bundle.physics import ContinuedBones, SeparatedBones, TissueNoise
from torch import Tensor

CACHED = 64
"""Number of separated joints cached in memory, about 3 MB each."""


@dataclass(frozen=True)
class Source:
    """A separated joint, as recorded in the list of source joints.

    Attributes:
        name, joint, finger, side: identity of the joint.
        spacing_mm: pixel size.
        joint_space_mm: joint space width between its joint surfaces; None if the measurement is refused.
        joint_space_sd_mm: expected standard deviation of the joint space width; None if it is refused.
        joint_space_refused: reason of the refusal, or "".
        surfaces: the joint surfaces (:class:`bundle.measurement.JointSurfaces`) as lists: ``axis`` in degrees,
            ``middle``, ``head`` and ``floor`` in mm, rounded to 1e-4, and ``window``; empty if the masks show no joint.
        edges_mm: middle (x, y) of the edge of each bone that faces the joint, from the frame's centre.
        masks: "given" or "predicted".
        digest: digest of its files.
        separator: name of the separator.
        flagged: whether it is implausible; None if not assessed.
        expected_overlap_rmse: expected error of the bones in their overlap; None if unknown.
        reasons: reasons of the flag.
        computed: ``runtime``, ``precision`` and ``flips`` of the separation; empty in records of older versions.
    """

    name: str
    joint: str
    finger: str
    side: str
    spacing_mm: float
    joint_space_mm: float | None
    joint_space_sd_mm: float | None
    joint_space_refused: str
    surfaces: Mapping[str, Any]
    edges_mm: Sequence[Sequence[float]]
    masks: str
    digest: str
    separator: str
    flagged: bool | None = None
    expected_overlap_rmse: float | None = None
    reasons: Sequence[str] = field(default_factory=list)
    computed: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def width(self) -> float:
        """Joint space width in mm; NaN if there is none."""
        return math.nan if self.joint_space_mm is None else self.joint_space_mm

    @property
    def axis_degrees(self) -> float:
        """Direction of the joint's axis in degrees from the vertical, positive clockwise."""
        return float(self.surfaces["axis"])

    @cached_property
    def joint_surfaces(self) -> JointSurfaces:
        """Joint surfaces of a joint that has them, a batch of one in float64, without scores."""
        lengths = {
            name: torch.tensor([self.surfaces[name]], dtype=torch.float64) for name in _SURFACES if name != "window"
        }
        return JointSurfaces(**lengths, window=torch.tensor([self.surfaces["window"]]), scores={})


def stated_joint_space(space: JointSpace) -> dict[str, Any]:
    """Return the fields of a :class:`Source` that state its joint space, from the measurement of one joint."""
    known = not space.refused[0]
    found = space.surfaces if bool(space.surfaces.axis.isfinite()) else None
    return {
        "joint_space_mm": float(space.mean) if known else None,
        "joint_space_sd_mm": float(space.sd) if known else None,
        "joint_space_refused": space.refused[0],
        "surfaces": {} if found is None else {name: _rounded(getattr(found, name)[0]) for name in _SURFACES},
    }


def _rounded(values: Tensor) -> Any:
    """Return values as numbers, rounded to 1e-4; boolean ones unchanged."""
    return values.tolist() if values.dtype == torch.bool else values.double().numpy().round(4).tolist()


def surfaces_of(sources: Sequence[Source]) -> JointSurfaces:
    """Return the joint surfaces of source joints, each with a measured joint space, in float64 and without scores."""
    found = [source.joint_surfaces for source in sources]
    return JointSurfaces(**{name: torch.cat([getattr(one, name) for one in found]) for name in _SURFACES}, scores={})


_MEASURED = ("joint_space_mm", "joint_space_sd_mm", "joint_space_refused", "surfaces")
"""Fields of the joint space in the record of a joint; records of older versions lack them."""

COMPUTED = ("runtime", "precision", "flips")
"""Entries of the assessment of a joint that state how its layers were computed."""

_SURFACES = ("axis", "middle", "head", "floor", "window")
"""Fields of the joint surfaces in the record of a joint."""

_PARTS = ("image", "soft", "covered", "bones", "maps", "boxes", "missing", "deviation", "amplitude")
"""Tensors in the file of a joint."""


class SourceStore:
    """A folder of separated joints: ``<name>.pt`` and, written after it, ``<name>.json`` with its checksum.

    Args:
        folder: existing folder.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._kept = lru_cache(CACHED)(self._read)

    def __reduce__(self) -> tuple[Any, ...]:
        return SourceStore, (self.folder,)  # another process has a cache of its own

    def write(self, source: Source, bones: SeparatedBones, image: Tensor) -> None:
        """Store a separated joint, a batch of one, with its radiograph (1, H, W)."""
        tensors = {
            "image": image,
            "soft": bones.soft[0],
            "covered": bones.covered[0].half(),
            "bones": bones.bones.bones[0],
            "maps": bones.bones.maps[0].half(),
            "boxes": bones.bones.boxes[0],
            "missing": bones.noise_texture.missing[0],
            "deviation": bones.noise_texture.deviation[0],
            "amplitude": bones.noise_texture.amplitude[0],
        }
        path = self.folder / f"{source.name}.pt"
        with replacing(path) as file:
            torch.save({name: part.detach().cpu().clone() for name, part in tensors.items()}, file)
        known = {**asdict(source), "files": sums_of(self.folder, [path])}
        write_bytes(self.folder / f"{source.name}.json", json.dumps(known, indent=1).encode())

    def find(self, name: str) -> Source | None:
        """Return the record of a joint; None if it is not stored, or its tensors are missing or damaged.

        Raises:
            InputError: an older version of the bundle stored the joint, with another measurement of the joint space.
        """
        path = self.folder / f"{name}.json"
        try:
            known = dict(read_json(path))
        except (OSError, ValueError, TypeError):
            return None
        _check_version(path, known)
        sums = known.pop("files", None)
        try:
            found = Source(**known)
        except TypeError:
            return None
        return found if are_whole(self.folder, sums) else None

    def load(self, names: Sequence[str]) -> SeparatedBones:
        """Load separated joints (B) through the cache of recent ones.

        Raises:
            InputError: a file is missing or damaged.
        """
        parts = [self._kept(name) for name in names]
        stacked = {key: torch.stack([part[key] for part in parts]) for key in parts[0] if key != "image"}
        bones = ContinuedBones(stacked["bones"], stacked["maps"], stacked["boxes"])
        noise_texture = TissueNoise(*(stacked[name] for name in ("missing", "deviation", "amplitude")))
        return SeparatedBones(stacked["soft"], stacked["covered"], bones, noise_texture)

    def image(self, name: str) -> Tensor:
        """Return the radiograph (1, H, W) of a joint."""
        return self._kept(name)["image"]

    def _read(self, name: str) -> Mapping[str, Any]:
        path = self.folder / f"{name}.pt"
        try:
            found: dict[str, Tensor] = torch.load(path, weights_only=True)
            return {name: found[name].float() for name in _PARTS}
        except Exception as error:  # torch raises many kinds of errors for a damaged file
            msg = f"{path}: the separated joint cannot be read ({load_failure(error)}). Delete the file."
            raise InputError(msg) from error


def _check_version(path: Path, known: Mapping[str, Any]) -> None:
    """Refuse the record of a joint without the fields of its joint space, as older versions stored it."""
    missing = [name for name in _MEASURED if name not in known]
    if missing and known.keys() >= {"name", "edges_mm", "separator"}:
        msg = (
            f"{path}: stored by an older version, which measured the gap between the outlines of the bones instead of "
            f"the joint space ({', '.join(missing)} missing). Delete {path.parent}, or pass another --output_dir."
        )
        raise InputError(msg)


class KeptSources(Sequence[Source]):
    """Stored source joints in the order of ``names``, without those that are not stored; looked up on first use.

    Args:
        store: store of the joints.
        names: names of the joints.
    """

    def __init__(self, store: SourceStore, names: Sequence[str]) -> None:
        self.store, self.names = store, list(names)

    @cached_property
    def found(self) -> list[Source]:
        """The source joints found."""
        return [source for source in map(self.store.find, self.names) if source is not None]

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, row: Any) -> Any:
        return self.found[row]
