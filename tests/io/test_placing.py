from __future__ import annotations

import pytest
from bundle.io.placing import agreed_plates


def hand(*states: str, image: str = "a.dcm") -> list[dict[str, str]]:
    return [{"image": image, "growth_plate": state} for state in states]


@pytest.mark.parametrize(
    ("states", "agreed"),
    [
        (("open", "open", "unknown"), ("open", "open", "open")),
        (("open", "closed", "unknown"), ("open", "closed", "unknown")),
        (("closed", "closed", "open", "unknown"), ("closed", "closed", "open", "unknown")),
        (("open", "open", "closed"), ("open", "open", "closed")),
        (("unknown", "unknown"), ("unknown", "unknown")),
    ],
)
def test_an_unknown_plate_follows_the_others_of_its_hand(states: tuple[str, ...], agreed: tuple[str, ...]) -> None:
    assert [joint["growth_plate"] for joint in agreed_plates(hand(*states))] == list(agreed)


def test_other_hands_do_not_count() -> None:
    joints = [*hand("open", "open"), *hand("unknown", image="b.dcm")]
    assert agreed_plates(joints) == joints
