from __future__ import annotations

from typing import Any

import pytest
from bundle.errors import InputError
from bundle.workflow.option_shapes import check_shapes

CONFIGURED: dict[str, Any] = {
    "count": 3,
    "flips": True,
    "name": "a",
    "dicom": None,
    "head": {"_target_": "Head", "reach_mm": 0.5},
    "options": {"width": 4},
    "writers": [{"_target_": "Writer"}],
    "device": {"_target_": "ignite.distributed.device"},
}


def given(name: str, value: Any) -> None:
    content = {**CONFIGURED, "head": dict(CONFIGURED["head"])}
    holder: Any = content
    *parents, key = name.split("#")
    for parent in parents:
        holder = holder[parent]
    holder[key] = value
    check_shapes({name: ""}, CONFIGURED, content)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("count", "many", "a number"),
        ("count", True, "a number"),
        ("count", [3], "a number"),
        ("flips", "maybe", "true or false"),
        ("head", 5, "{'_target_': 'CLASS'}"),
        ("head", "none", "{'_target_': 'CLASS'}"),
        ("head#reach_mm", "nan", "a number"),
        ("options", "[1", "{'KEY': VALUE}"),
        ("writers", 5, "a list"),
        ("device", "nope", "{'_target_': 'CLASS'}"),
    ],
)
def test_an_option_of_another_type_is_refused_by_its_name(name: str, value: Any, expected: str) -> None:
    with pytest.raises(InputError, match=f"--{name} ") as caught:
        given(name, value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 4.5),
        ("count", "$2 * 3"),
        ("flips", False),
        ("flips", 0.5),
        ("name", 5),
        ("device", "cpu"),
        ("dicom", {"_target_": "Dicom"}),
        ("head", "@other"),
        ("head", None),
        ("head", {"_target_": "Other"}),
        ("head#new", "text"),
        ("options", {}),
        ("writers", "@own"),
        ("writers", []),
    ],
)
def test_values_of_the_same_type_references_and_new_keys_pass(name: str, value: Any) -> None:
    given(name, value)


def test_names_of_no_value_pass() -> None:
    check_shapes({"absent#deep": "", "writers#9": "", "args_file": ""}, CONFIGURED, CONFIGURED)
