"""Joints out of a hand radiograph: a frame of 21 mm around each joint, upright, and back into the hand.

A frame is a square of ``size`` pixels that looks at the hand through a rigid motion and a scale: its centre is the
joint's, its upright direction the finger's, from the lower bone (metacarpal) to the upper one. Points are (x, y) in
pixels of the hand, x to the right and y down, whole numbers at the centres of pixels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from bundle.errors import InputError
from bundle.joint import MCP
from bundle.physics import REACH, blur, sample
from torch import Tensor

FARTHEST = 1e6
"""Coordinates of a joint are at most this number of pixels, and its direction is no shorter than one part of it."""

FEATHER = 1.0
"""A changed frame passes into the hand over so many mm inside its border."""

BLUR = 0.5
"""Sigma of the antialiasing Gaussian in pixels of the hand, for each of them that a pixel of the frame is longer than
one; nothing is blurred on enlarging."""

LARGE = 4_000_000
"""Hands of more pixels are cropped around the joint before a frame is cut, which rounds the last bits otherwise."""

Box = tuple[range, range]
"""Rows and columns of a hand."""


@dataclass(frozen=True)
class JointPlace:
    """Where a joint lies in a hand radiograph.

    Attributes:
        name: of the joint.
        center: (x, y) of the joint in pixels of the hand.
        direction: (x, y) along the finger, from the lower to the upper bone; of any length but 0.
    """

    name: str
    center: tuple[float, float]
    direction: tuple[float, float] = (0.0, -1.0)

    def __post_init__(self) -> None:
        values = (*self.center, *self.direction)
        length = math.hypot(*self.direction)
        if not all(abs(value) <= FARTHEST for value in values) or not 1.0 / FARTHEST <= length <= FARTHEST:
            msg = (
                f"expected the centre of joint {self.name} and the direction of its finger as finite numbers, the "
                f"direction not 0, none above {FARTHEST:g}, got {self.center} and {self.direction}: "
                "mark the joint again"
            )
            raise InputError(msg)


@dataclass(frozen=True)
class JointFrame:
    """A frame that looks at a joint of a hand radiograph.

    Attributes:
        place: the joint.
        spacing: height and width of a pixel of the hand in mm.
        size: height and width of the frame in pixels.
        side: height and width of the frame in mm.
    """

    place: JointPlace
    spacing: tuple[float, float]
    size: int = MCP.pixels
    side: float = MCP.frame_mm

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

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
    def matrix(self) -> Tensor:
        """From pixels of the frame (x, y, 1) to pixels of the hand (x, y), (2, 3), float64.

        The direction is turned in mm, so that a hand with pixels that are not square is upright as well.
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

    def cut(self, hand: Tensor) -> Tensor:
        """The frame of hand images (C, H, W): (C, size, size), bilinear and antialiased.

        Raises:
            InputError: part of the frame lies outside the hand.
        """
        self._check_inside(hand)
        sigma = [BLUR * max(self.pixel / length - 1.0, 0.0) for length in self.spacing]
        places = _places(self.matrix, _whole((self.size, self.size)))
        if hand.shape[-2] * hand.shape[-1] > LARGE:
            rows, columns = self._box(hand.shape[-2:], math.ceil(REACH * max(sigma)) + 2)
            hand = _part(hand, (rows, columns))
            places = places - torch.tensor([columns.start, rows.start], dtype=places.dtype)
        return _sampled(blur(hand[None], sigma)[0], places)

    def covers(self, shape: tuple[int, int]) -> Tensor:
        """How far each pixel of a hand (H, W) is given by the frame: 1 inside, falling to 0 at its border, (H, W)."""
        box, share = self._box(shape), torch.zeros(shape, dtype=torch.float64)
        _part(share, box).copy_(self._share(_places(self._inverse, box)))
        return share

    def _share(self, places: Tensor) -> Tensor:
        """:meth:`covers` of places in the frame (H, W, 2)."""
        x, y = places.unbind(dim=-1)
        depth = torch.stack([x + 0.5, y + 0.5, self.size - 0.5 - x, self.size - 0.5 - y]).amin(dim=0)
        share: Tensor = (depth * self.pixel / FEATHER).clamp(0.0, 1.0)
        return share

    def paste(self, hand: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """Put what has changed in a frame back into the hand.

        The difference of the frames is enlarged to the pixels of the hand and added, so the hand keeps its own detail
        where nothing has changed, and every pixel outside the change stays the same to the last bit.

        Args:
            hand: (C, H, W), in [0, 1].
            before: the frame as it was cut, (C, size, size).
            after: the frame with its change.

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
        """From pixels of the hand (x, y, 1) to pixels of the frame."""
        whole = torch.cat([self.matrix, torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)])
        return torch.linalg.inv(whole)[:2]

    def _corners(self) -> tuple[Tensor, Tensor]:
        """X and y of the frame's corner pixels in the hand, (4,) each."""
        last = self.size - 1.0
        corners = torch.tensor([[0.0, 0.0, 1.0], [last, 0.0, 1.0], [0.0, last, 1.0], [last, last, 1.0]])
        x, y = (corners.double() @ self.matrix.T).unbind(dim=1)
        return x, y

    def _box(self, shape: Sequence[int], margin: int = 0) -> Box:
        """The part of a hand (H, W) in which the frame lies, with a margin in pixels, inside the hand."""
        x, y = self._corners()
        edge = self.pixel / min(self.spacing) + margin
        rows, columns = (
            range(max(math.floor(float(at.min()) - edge), 0), min(math.ceil(float(at.max()) + edge) + 1, length))
            for at, length in zip((y, x), shape, strict=True)
        )
        return rows, columns

    def _check_inside(self, hand: Tensor) -> None:
        height, width = hand.shape[-2:]
        x, y = self._corners()
        if not bool(((x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5)).all()):
            msg = (
                f"expected a frame of {self.side:g} mm around joint {self.place.name} inside the radiograph of "
                f"{width} x {height} pixels, got one from x {float(x.min()):.0f} to {float(x.max()):.0f} and y "
                f"{float(y.min()):.0f} to {float(y.max()):.0f}: check the point and the spacing"
            )
            raise InputError(msg)


def _whole(shape: tuple[int, int]) -> Box:
    return range(shape[0]), range(shape[1])


def _part(image: Tensor, box: Box) -> Tensor:
    """The part of an image (..., H, W) in a box."""
    rows, columns = box
    return image[..., rows.start : rows.stop, columns.start : columns.stop]


def _places(matrix: Tensor, box: Box) -> Tensor:
    """Where a matrix (2, 3) takes the pixels of an image in a box: (H, W, 2), float64."""
    lines = (torch.arange(of.start, of.stop, dtype=torch.float64) for of in box)
    y, x = torch.meshgrid(*lines, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=-1) @ matrix.T


def _sampled(image: Tensor, places: Tensor) -> Tensor:
    """Bilinear values of an image (C, H, W) at places (H', W', 2), continued past its border."""
    length = torch.tensor([image.shape[-1], image.shape[-2]], dtype=torch.float64)
    grid = (2.0 * places + 1.0) / length - 1.0
    return sample(image[None], grid[None])[0]
