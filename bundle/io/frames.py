"""Joints cut out of a hand radiograph, an upright frame of 21 mm around each, and pasted back into the hand.

A frame is a square of ``size`` pixels that samples the hand by a rigid motion and a scale: its centre is the joint's,
its upward direction the finger's, from the lower bone (metacarpal) to the upper one. Points are (x, y) in pixels of
the hand, x to the right and y down, with integers at pixel centres.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
from bundle.errors import InputError
from bundle.io.mark_names import MarkName
from bundle.joint import COARSE_SPACING, MCP
from bundle.physics import REACH, blur, sample
from scipy.ndimage import map_coordinates
from torch import Tensor

FARTHEST = 1e6
"""Largest coordinate of a joint in pixels; the length of its direction is at least the reciprocal."""

FEATHER = 1.0
"""Width in mm of the blend of a changed frame into the hand, inside the frame's border."""

BLUR = 0.5
"""Sigma of the antialiasing Gaussian in pixels of the hand, per pixel of the hand by which a pixel of the frame exceeds
one; enlarging does not blur."""

LARGE = 4_000_000
"""Pixels of a hand above which it is cropped around the joint before a frame is cut; the crop changes rounding in the
last bits."""

SPLINE_REACH = 12
"""Pixels beyond which a pixel does not influence a cubic spline, to 1e-6."""

Box = tuple[range, range]
"""Rows and columns of a hand."""


@dataclass(frozen=True)
class JointPlace:
    """Position of a joint in a hand radiograph.

    Attributes:
        name: name of the joint.
        center: (x, y) of the joint in pixels of the hand.
        direction: (x, y) along the finger, from the lower to the upper bone; of any length except 0.
        stated: finger, side and joint that the name of the mark states; not part of a frame's JSON.
    """

    name: str
    center: tuple[float, float]
    direction: tuple[float, float] = (0.0, -1.0)
    stated: MarkName = field(default=MarkName(), compare=False)

    def __post_init__(self) -> None:
        values = (*self.center, *self.direction)
        length = math.hypot(*self.direction)
        if not all(abs(value) <= FARTHEST for value in values) or not 1.0 / FARTHEST <= length <= FARTHEST:
            msg = (
                f"joint {self.name} has the centre {self.center} and the direction {self.direction}: they must be "
                f"finite numbers, none above {FARTHEST:g}, the direction not 0. Mark the joint again."
            )
            raise InputError(msg)


@dataclass(frozen=True)
class JointFrame:
    """Frame around a joint of a hand radiograph.

    Attributes:
        place: position of the joint.
        spacing: height and width of a pixel of the hand in mm.
        size: height and width of the frame in pixels.
        side: height and width of the frame in mm.
    """

    place: JointPlace
    spacing: tuple[float, float]
    size: int = MCP.pixels
    side: float = MCP.frame_mm

    def to_json(self) -> str:
        """Write the frame as one line of JSON."""
        described = asdict(self)
        del described["place"]["stated"]
        return json.dumps(described)

    @classmethod
    def from_json(cls, line: str) -> JointFrame:
        """Read what :meth:`to_json` wrote."""
        values = json.loads(line)
        place, (height, width) = values["place"], values["spacing"]
        joint = JointPlace(place["name"], tuple(place["center"]), tuple(place["direction"]))
        return cls(joint, (height, width), values["size"], values["side"])

    @property
    def pixel(self) -> float:
        """Height and width of a pixel of the frame in mm."""
        return self.side / self.size

    @property
    def coarse(self) -> bool:
        """Whether the pixels of the hand exceed :data:`bundle.joint.COARSE_SPACING`."""
        return max(self.spacing) > COARSE_SPACING

    @property
    def matrix(self) -> Tensor:
        """Matrix from pixels of the frame (x, y, 1) to pixels of the hand (x, y), (2, 3), float64.

        The rotation is computed in mm, so that a frame of a hand whose pixels are not square is upright too.
        """
        height, width = self.spacing
        x, y = self.place.direction[0] * width, self.place.direction[1] * height
        up = torch.tensor([x, y], dtype=torch.float64) / math.hypot(x, y)
        right = torch.stack([-up[1], up[0]])
        axes = torch.stack([right, -up], dim=1) * self.pixel
        axes = axes / torch.tensor([[width], [height]], dtype=torch.float64)
        middle = torch.full((2, 1), (self.size - 1) / 2.0, dtype=torch.float64)
        center = torch.tensor(self.place.center, dtype=torch.float64)[:, None]
        return torch.cat([axes, center - axes @ middle], dim=1)

    def moved(self, right: float, down: float, degrees: float) -> JointFrame:
        """Return the frame moved and rotated within the hand.

        Args:
            right: shift of the centre to the right of the frame in mm.
            down: shift of the centre to the bottom of the frame in mm.
            degrees: rotation, positive clockwise.
        """
        middle, angle = (self.size - 1) / 2.0, math.radians(degrees)
        center = torch.tensor([right / self.pixel + middle, down / self.pixel + middle, 1.0], dtype=torch.float64)
        up = torch.tensor([math.sin(angle), -math.cos(angle), 0.0], dtype=torch.float64)
        (x, y), (across, along) = (self.matrix @ center).tolist(), (self.matrix @ up).tolist()
        return replace(self, place=replace(self.place, center=(x, y), direction=(across, along)))

    def motion_to(self, other: JointFrame) -> tuple[float, float, float]:
        """Return the motion to another frame of the hand: ``right``, ``down`` and ``degrees`` of :meth:`moved`."""
        middle, inverse = (self.size - 1) / 2.0, self._inverse
        x, y = (inverse @ torch.tensor([*other.place.center, 1.0], dtype=torch.float64)).tolist()
        up = torch.tensor([*other.place.direction, 0.0], dtype=torch.float64)
        across, along = (inverse @ up).tolist()
        return (x - middle) * self.pixel, (y - middle) * self.pixel, math.degrees(math.atan2(across, -along))

    def cut(self, hand: Tensor) -> Tensor:
        """Cut the frame out of hand images (C, H, W): (C, size, size), antialiased.

        The interpolation is bilinear. Coarse pixels are interpolated by cubic splines: linear interpolation would show
        them as a grid, which a noise texture of the same spectrum repeats, and blur the outlines of the bones.

        Raises:
            InputError: the frame lies partly outside the hand.
        """
        self._check_inside(hand)
        sigma = [BLUR * max(self.pixel / length - 1.0, 0.0) for length in self.spacing]
        places = _places(self.matrix, _whole((self.size, self.size)))
        if hand.shape[-2] * hand.shape[-1] > LARGE:
            margin = math.ceil(REACH * max(sigma)) + (SPLINE_REACH if self.coarse else 2)
            rows, columns = self._box(hand.shape[-2:], margin)
            hand = _part(hand, (rows, columns))
            places = places - torch.tensor([columns.start, rows.start], dtype=places.dtype)
        return (_splined if self.coarse else _sampled)(blur(hand[None], sigma)[0], places)

    def covers(self, shape: tuple[int, int]) -> Tensor:
        """Weight of the frame in each pixel of a hand (H, W): 1 inside, falling to 0 at its border, (H, W)."""
        box, share = self._box(shape), torch.zeros(shape, dtype=torch.float64)
        _part(share, box).copy_(self._share(_places(self._inverse, box)))
        return share

    def _share(self, places: Tensor) -> Tensor:
        """:meth:`covers` at positions in the frame (H, W, 2)."""
        x, y = places.unbind(dim=-1)
        depth = torch.stack([x + 0.5, y + 0.5, self.size - 0.5 - x, self.size - 0.5 - y]).amin(dim=0)
        share: Tensor = (depth * self.pixel / FEATHER).clamp(0.0, 1.0)
        return share

    def paste(self, hand: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Paste the change of a frame back into the hand.

        The difference of the frames is resampled to the pixels of the hand and added. The hand keeps its own detail,
        and every pixel outside the change keeps its last bit.

        Args:
            hand: hand images, (C, H, W) in [0, 1].
            before: frame as cut, (C, size, size).
            after: changed frame, (C, size, size).

        Returns:
            (C, H, W) in [0, 1].
        """
        change = (after - before).to(hand.dtype)
        box, changed = self._box(hand.shape[-2:]), hand.clone()
        places, part = _places(self._inverse, box), _part(changed, box)
        added = _sampled(change, places) * self._share(places).to(hand.dtype)
        part.copy_(torch.where(added != 0.0, (part + added).clamp(0.0, 1.0), part))
        return changed

    @property
    def _inverse(self) -> Tensor:
        """Matrix from pixels of the hand (x, y, 1) to pixels of the frame."""
        whole = torch.cat([self.matrix, torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)])
        return torch.linalg.inv(whole)[:2]

    @property
    def corners(self) -> Tensor:
        """Corner pixels of the frame (x, y) in pixels of the hand, from the top left clockwise, (4, 2) float64."""
        last = self.size - 1.0
        corners = torch.tensor([[0.0, 0.0, 1.0], [last, 0.0, 1.0], [last, last, 1.0], [0.0, last, 1.0]])
        return corners.double() @ self.matrix.T

    def _box(self, shape: Sequence[int], margin: int = 0) -> Box:
        """Bounding box of the frame in a hand (H, W), with a margin in pixels, clipped to the hand."""
        x, y = self.corners.unbind(dim=1)
        edge = self.pixel / min(self.spacing) + margin
        rows, columns = (
            range(max(math.floor(float(at.min()) - edge), 0), min(math.ceil(float(at.max()) + edge) + 1, length))
            for at, length in zip((y, x), shape, strict=True)
        )
        return rows, columns

    def _check_inside(self, hand: Tensor) -> None:
        height, width = hand.shape[-2:]
        x, y = self.corners.unbind(dim=1)
        if not bool(((x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5)).all()):
            msg = (
                f"joint {self.place.name}: its frame of {self.side:g} mm, x {float(x.min()):.0f} to "
                f"{float(x.max()):.0f} and y {float(y.min()):.0f} to {float(y.max()):.0f}, does not lie inside the "
                f"radiograph of {width} x {height} pixels. Check the point and the pixel spacing."
            )
            raise InputError(msg)


def _whole(shape: tuple[int, int]) -> Box:
    return range(shape[0]), range(shape[1])


def _part(image: Tensor, box: Box) -> Tensor:
    """The part of an image (..., H, W) in a box."""
    rows, columns = box
    return image[..., rows.start : rows.stop, columns.start : columns.stop]


def _places(matrix: Tensor, box: Box) -> Tensor:
    """Positions to which a matrix (2, 3) maps the pixels of an image in a box: (H, W, 2), float64."""
    lines = (torch.arange(of.start, of.stop, dtype=torch.float64) for of in box)
    y, x = torch.meshgrid(*lines, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=-1) @ matrix.T


def _sampled(image: Tensor, places: Tensor) -> Tensor:
    """Bilinear values of an image (C, H, W) at positions (H', W', 2), extended past its border."""
    length = torch.tensor([image.shape[-1], image.shape[-2]], dtype=torch.float64)
    grid = (2.0 * places + 1.0) / length - 1.0
    return sample(image[None], grid[None])[0]


def _splined(image: Tensor, places: Tensor) -> Tensor:
    """Values of the cubic spline through an image (C, H, W) at positions (H', W', 2), extended past its border."""
    at = places.flip(-1).movedim(-1, 0).numpy()
    values = [map_coordinates(channel, at, order=3, mode="nearest") for channel in image.double().numpy()]
    return torch.from_numpy(np.stack(values)).to(image.dtype)
