"""The declared options of requests: what is taken, and that nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from bundle.errors import InputError
from scripts.monai_label.options import OPTIONS, ROUTES, Option, checked, parsed, route_of

EVALUATED = ("$print(1)", "@network", "%file#id", "$", "../x", "/etc/passwd", "a\nb", "\0", "")
DECLARED = {
    **{f"{kind} {name}": option for kind, options in OPTIONS.items() for name, option in options.items()},
    **{f"{route.path} {name}": option for route in ROUTES for name, option in route.query.items()},
}


@pytest.mark.parametrize("where", DECLARED)
@pytest.mark.parametrize("text", EVALUATED)
def test_no_option_takes_text_that_could_be_evaluated(where: str, text: str) -> None:
    for value in (text, [text], [text, text], [{"name": text, "idx": 1}], {text: text}):
        with pytest.raises(InputError, match='"field"'):
            checked({"field": value}, {"field": DECLARED[where]})


@pytest.mark.parametrize(
    ("kind", "name", "sent", "taken"),
    [
        ("train", "max_epochs", "20", 20),
        ("train", "learning_rate", 1e-3, 1e-3),
        ("train", "pretrained", "false", False),
        ("infer", "center", [1, 2.5], [1.0, 2.5]),
        ("infer", "spacing", 0.082, 0.082),
        ("infer", "result_extension", ".nrrd", ".nrrd"),
        ("save_label", "label_info", [{"name": "lower bone", "idx": 1}], [{"name": "lower bone", "idx": 1}]),
        ("activelearning", "client_id", "user-1", "user-1"),
    ],
)
def test_what_clients_send_is_taken(kind: str, name: str, sent: Any, taken: Any) -> None:
    found = checked({name: sent}, OPTIONS[kind])[name]
    assert (found, type(found)) == (taken, type(taken))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, 0, 1001, 1.5, "1e999", "0x10", [], {}])
def test_numbers_are_whole_and_in_range(value: Any) -> None:
    if value is None:
        assert checked({"max_epochs": value}, OPTIONS["train"]) == {}
        return
    with pytest.raises(InputError, match="max_epochs"):
        checked({"max_epochs": value}, OPTIONS["train"])


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "9" * 5000])
def test_broken_json_is_refused(content: str) -> None:
    with pytest.raises(InputError, match="is not JSON"):
        parsed(content, "the body")


def test_an_unknown_option_is_named_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match=r"maxepochs.*max_epochs"):
        checked({"maxepochs": 1}, OPTIONS["train"])


@pytest.mark.parametrize(
    "path", ["/train/x", "/reload", "/proxy/dicom/x", "/ohif/", "/infer/wsi/bone_masks", "/session/.."]
)
def test_other_routes_are_not_served(path: str) -> None:
    assert not any(route_of(method, path) for method in ("GET", "POST", "PUT", "DELETE"))


def test_every_option_says_what_it_expects() -> None:
    assert all(isinstance(option, Option) and option.expected for option in DECLARED.values())
