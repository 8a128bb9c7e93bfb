"""Declaration of request options: their kinds and ranges.

A value becomes a number, a switch, a known word or a name of letters and digits, or it is refused with the name of its
field. Nothing else of a request reaches the tasks: the bundle's configurations evaluate text that begins with ``$``,
``@`` or ``%``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bundle.errors import InputError
from bundle.joint import FINGERS

TASKS = ("bone_masks", "layer_separation")
TRAINED = "bone_masks"
STRATEGIES = ("uncertainty", "random")
POINTS = ("center", "tip")
"""Options that are points (x, y) in pixels of the radiograph."""

LONGEST_NAME = 128
_NAME = re.compile(rf"[\w][\w.-]{{0,{LONGEST_NAME - 1}}}", re.ASCII)
_IMAGE = re.compile(r"[\w-][\w.-]{0,199}")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CHECKSUM = re.compile(r"((SHA256|SHA512|MD5):)?[0-9A-Fa-f]{32,128}")
_SEGMENT = re.compile(r"[\w][\w .()-]{0,63}")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?")
MOST_SEGMENTS = 64


class Option(NamedTuple):
    """A kind of value.

    Attributes:
        take: conversion to a number, a switch or a word; raises ValueError if impossible.
        expected: description of the kind.
    """

    take: Callable[[Any], Any]
    expected: str


def number(low: float, high: float) -> Option:
    """Accept a finite number from ``low`` to ``high``, also as text."""

    def take(value: Any) -> float:
        found = _number(value)
        if not low <= found <= high:
            raise ValueError
        return found

    return Option(take, f"a number from {low:g} to {high:g}")


def whole(low: int, high: int) -> Option:
    """Accept a whole number from ``low`` to ``high``, also as text."""

    def take(value: Any) -> int:
        found = _number(value)
        if not low <= found <= high or found != int(found):
            raise ValueError
        return int(found)

    return Option(take, f"a whole number from {low} to {high}")


def word(*known: str) -> Option:
    """Accept one of some words."""

    def take(value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            raise ValueError
        return known[known.index(value)]

    return Option(take, " or ".join(f'"{each}"' for each in known))


def text(pattern: re.Pattern[str], expected: str) -> Option:
    """Accept a name that matches a pattern as a whole."""

    def take(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError
        return value

    return Option(take, expected)


def _switch(value: Any) -> bool:
    known = {"true": True, "false": False}
    return known[str(value).lower()]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError
    found = float(value)
    if not math.isfinite(found):
        raise ValueError
    return found


def _point(value: Any) -> list[float]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError
    return [number(-1e6, 1e6).take(each) for each in value]


def _segments(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or len(value) > MOST_SEGMENTS:
        raise ValueError
    name, index = text(_SEGMENT, ""), whole(0, 255)
    return [{"name": name.take(each["name"]), "idx": index.take(each["idx"])} for each in value]


SWITCH = Option(_switch, "true or false")
NAME = text(_NAME, f"a name of at most {LONGEST_NAME} letters, digits, points, dashes and underscores")
IMAGE = text(_IMAGE, "the id of an image, of letters, digits, points, dashes and underscores")
TAG = text(_TAG, 'a tag of letters, digits, dashes and underscores, such as "final"')
SESSION = text(_SESSION, "the id of a session")
POINT = Option(_point, "[x, y] in pixels of the radiograph")
SEGMENTS = Option(_segments, 'a list of {"name": NAME, "idx": 0 to 255}')

CLICKED = {"center": POINT, "tip": POINT, "spacing": number(0.001, 10.0), "finger": word(*FINGERS)}
"""Position of the joint in a radiograph, or the finger of a joint that is found; the spacing is in mm."""

_CLIENT = {
    "client_id": NAME,
    "model": word(*TASKS),
    "device": text(re.compile(r"cpu|cuda(:\d{1,2})?"), '"cpu" or "cuda"'),
    "logging": word("DEBUG", "INFO", "WARNING", "ERROR"),
}
"""Options that MONAI Label and its clients add."""

_IMAGES = word("all", "labeled", "unlabeled")

OPTIONS: dict[str, dict[str, Option]] = {
    "train": {
        **_CLIENT,
        "model": word(TRAINED),
        "max_epochs": whole(1, 1000),
        "train_batch_size": whole(1, 256),
        "val_split": number(0.01, 0.9),
        "learning_rate": number(1e-12, 0.1),
        "seed": whole(0, 2**31 - 1),
        "pretrained": SWITCH,
        "gpus": word("all"),
        "local_rank": whole(0, 0),
    },
    "infer": {
        **_CLIENT,
        **CLICKED,
        "save_label": SWITCH,
        "label_tag": TAG,
        "label_info": SEGMENTS,
        "result_extension": word(".nrrd", ".nii", ".nii.gz"),
        "result_dtype": word("uint8", "uint16"),
        "result_compress": SWITCH,
    },
    "batch_infer": {
        **_CLIENT,
        "model": word("bone_masks"),
        "images": _IMAGES,
        "label_tag": TAG,
        "save_label": SWITCH,
        "max_batch_size": whole(0, 100_000),
        "max_workers": whole(0, 64),
        "multi_gpu": SWITCH,
        "gpus": word("all"),
    },
    "activelearning": {"client_id": NAME, "strategy": word(*STRATEGIES), "at_once": whole(1, 10_000)},
    # "unusual" allows bones of an unusual size or shape in the label.
    "save_image": {"client_id": NAME, "user": NAME},
    "save_label": {"client_id": NAME, "user": NAME, "label_info": SEGMENTS, "unusual": SWITCH, **CLICKED},
    "image_info": {"client_id": NAME, "user": NAME},
    "label_info": {"client_id": NAME, "user": NAME, "label_info": SEGMENTS, "unusual": SWITCH, **CLICKED},
}
"""Options of each kind of request, by the names of MONAI Label."""

_BACKGROUND = {"all": SWITCH, "check_if_running": SWITCH}
_OUTPUT = word("image", "json", "all")
_LABEL = {"label": IMAGE, "tag": TAG}
_SAVED = {"image": IMAGE, "tag": TAG}


class Route(NamedTuple):
    """A route of the server.

    Attributes:
        method: HTTP method.
        path: pattern of the whole path, without a trailing slash.
        query: options in the address.
        body: kind of :data:`OPTIONS` of the body, as JSON.
        form: fields of a form that are a kind of :data:`OPTIONS`, as JSON.
        files: fields of a form that are files.
        fields: other fields of a form.
    """

    method: str
    path: str
    query: Mapping[str, Option] = {}
    body: str = ""
    form: Mapping[str, str] = {}
    files: tuple[str, ...] = ()
    fields: Mapping[str, Option] = {}


_TASK = rf"({'|'.join(TASKS)})"
_STRATEGY = rf"({'|'.join(STRATEGIES)})"

ROUTES = (
    Route("GET", r"|/docs|/openapi\.json|/favicon\.ico|/static/[\w.-]+"),
    Route("GET", "/info"),
    Route("GET", "/logs", {"lines": whole(1, 10_000), "html": SWITCH, "text": SWITCH, "refresh": whole(0, 3600)}),
    Route("GET", f"/model/(info/)?{_TASK}"),
    Route("DELETE", f"/model/{TRAINED}"),
    Route(
        "POST",
        f"/infer/{_TASK}",
        {"image": IMAGE, "session_id": SESSION, "output": _OUTPUT},
        form={"params": "infer"},
        files=("file", "label"),
    ),
    Route(
        "POST",
        "/batch/infer/bone_masks",
        {"images": word("all", "labeled", "unlabeled"), "run_sync": SWITCH},
        "batch_infer",
    ),
    Route("GET", "/batch/infer", _BACKGROUND),
    Route("DELETE", "/batch/infer"),
    Route("POST", f"/train/{TRAINED}", {"run_sync": SWITCH, "enqueue": SWITCH}, "train"),
    Route("GET", "/train", _BACKGROUND),
    Route("DELETE", "/train"),
    Route("GET", "/scoring", _BACKGROUND),
    Route("DELETE", "/scoring"),
    Route("POST", f"/activelearning/{_STRATEGY}", {}, "activelearning"),
    Route("GET", "/datastore", {"output": word("train", "stats", "all")}),
    Route("PUT", "/datastore(/image)?", {"image": IMAGE}, form={"params": "save_image"}, files=("file",)),
    Route("DELETE", "/datastore(/image)?", {"id": IMAGE}),
    Route("GET", "/datastore/image", {"image": IMAGE, "check_sum": text(_CHECKSUM, "a checksum as SHA256:...")}),
    Route("GET", "/datastore/image/info", {"image": IMAGE}),
    Route("PUT", "/datastore/image/info", {"image": IMAGE}, form={"info": "image_info"}),
    Route("PUT", "/datastore/label", _SAVED, form={"params": "save_label"}, files=("label",)),
    Route("DELETE", "/datastore/label", {"id": IMAGE, "tag": TAG}),
    Route("GET", "/datastore/label", {**_LABEL, "image": IMAGE}),
    Route("GET", "/datastore/label/info", _LABEL),
    Route("PUT", "/datastore/label/info", _LABEL, form={"info": "label_info"}),
    Route("PUT", "/datastore/updatelabelinfo", _LABEL, form={"params": "label_info"}),
    Route("GET", "/datastore/dataset", {"limit_cases": whole(1, 1_000_000)}),
    Route("GET", f"/session/{_SESSION.pattern}", {"update_ts": SWITCH, "image": SWITCH}),
    Route(
        "PUT",
        "/session",
        {"uncompress": word("false"), "expiry": whole(0, 86_400)},
        files=("files",),
        fields={"client_id": NAME},
    ),
    Route("DELETE", f"/session/{_SESSION.pattern}"),
)
"""All served routes; others of MONAI Label (WSI, OHIF, proxy, reload, upload of weights) are not served."""


def route_of(method: str, path: str) -> Route | None:
    """Return the route of a request; None if there is none. HEAD counts as GET."""
    wanted = "GET" if method == "HEAD" else method
    path = path.rstrip("/")
    return next((each for each in ROUTES if each.method == wanted and re.fullmatch(each.path, path)), None)


def checked(values: Any, options: Mapping[str, Option]) -> dict[str, Any]:
    """Return values of a request as numbers, switches and words, without null values.

    Raises:
        InputError: they are not an object, or a field is unknown or has an unusable value. The message names the field.
    """
    if not isinstance(values, Mapping):
        msg = f"The options of the request are {_short(values)}, not a JSON object. Send {{}} for none."
        raise InputError(msg)
    return {name: _checked(name, value, options) for name, value in values.items() if value is not None}


def _checked(name: str, value: Any, options: Mapping[str, Option]) -> Any:
    if name not in options:
        known = f"The options are {', '.join(options)}." if options else "The request has no options."
        msg = f"{_short(name)} is not an option. {known}"
        raise InputError(msg)
    try:
        return options[name].take(value)
    except (ValueError, TypeError, KeyError, OverflowError):
        msg = f'"{name}" is {_short(value)}. Pass {options[name].expected}, or leave it out.'
        raise InputError(msg) from None


def parsed(content: str | bytes, field: str) -> Any:
    """Parse a JSON text; null if it is empty.

    Raises:
        InputError: it is not JSON. The message names the field.
    """
    try:
        return json.loads(content) if content else None
    except (ValueError, RecursionError) as error:
        msg = f"{field} is not JSON: {_short(content)} ({type(error).__name__}). Send an object."
        raise InputError(msg) from error


def _short(value: Any) -> str:
    """Return a value for a message, at most 60 characters."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
