"""Validation of every request before MONAI Label: only declared routes, options and files."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from bundle.errors import InputError
from monailabel.config import settings
from scripts.monai_label.datastore import FIND
from scripts.monai_label.options import OPTIONS, TRAINED, Route, checked, parsed, route_of
from scripts.monai_label.uploads import request_folder
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

LARGEST = 512 * 2**20
"""Maximum size of a request in bytes."""

LONGEST_PATH = 1024
"""Maximum length of a file's path in bytes: 3D Slicer sends whole paths."""

LONGEST_NAME = 200
"""Maximum length of a file's own name in bytes: it names a temporary file, with a prefix."""

UNDO = ("DELETE", f"/model/{TRAINED}")
"""The request that restores the weights before the last training."""

BAD_REQUEST, FORBIDDEN, NOT_FOUND, TOO_LARGE = 400, 403, 404, 413


class Served(Protocol):
    """Interface of the app for the guard."""

    def known(self, image_id: str, tag: str | None = None) -> bool:
        """Whether an image exists, or a label of it with a tag."""

    def undo(self) -> dict[str, Any]:
        """Restore the weights before the last training."""


class Guard:
    """Middleware that answers invalid requests by 400 and a message, and runs the others in a folder of their own.

    Args:
        application: application of MONAI Label.
        served: the app.
    """

    def __init__(self, application: Application, served: Served) -> None:
        self.application = application
        self.served = served

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] == "OPTIONS":
            await self.application(scope, receive, send)
            return
        try:
            with request_folder():
                await self._answer(scope, receive, send)
        except _Refused as refused:
            await JSONResponse({"detail": str(refused)}, refused.status)(scope, receive, send)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        route = _route(scope)
        body = await _body(receive)
        try:
            body = await self._checked(route, scope, body)
            answer = self.served.undo() if (route.method, route.path) == UNDO else None
        except InputError as error:
            raise _Refused(BAD_REQUEST, str(error)) from error
        if answer is not None:
            await JSONResponse(answer)(scope, receive, send)
            return
        await self.application(scope, _replay(body, receive), send)

    async def _checked(self, route: Route, scope: Message, body: bytes) -> bytes:
        """Return the body of a request whose options are valid."""
        request = Request(scope, _replay(body, None))
        query = checked(_single(request.query_params.multi_items(), "the address"), route.query)
        self._check_ids(route, query)
        if route.form or route.files or route.fields:
            given = {*query, *await _check_form(route, request)}
            if route.path.startswith("/infer") and not given & {"image", "session_id", "file"}:
                msg = 'The request has no radiograph. Name an image, or send it as "file".'
                raise InputError(msg)
            return body
        if not route.body:
            return b""
        return json.dumps(checked(_object(body, "the body"), OPTIONS[route.body])).encode() if body else body

    def _check_ids(self, route: Route, query: dict[str, Any]) -> None:
        """Refuse unknown ids of the datastore, except those of a new image and of inference."""
        image_id = query.get("id") or query.get("label") or query.get("image")
        if not route.path.startswith("/datastore") or image_id is None or "file" in route.files:
            return
        saved = "tag" in route.query and "label" not in route.files
        if not self.served.known(image_id, query.get("tag", "") if saved else None):
            what = "a saved label" if saved else "an image of the studies folder"
            msg = f"{image_id!r} is not {what}. {FIND}"
            raise _Refused(NOT_FOUND if route.method != "PUT" else BAD_REQUEST, msg)


class _Refused(Exception):
    """A refused request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def _route(scope: Message) -> Route:
    """Return the declared route of a request that comes from no foreign web page."""
    headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    origin = headers.get(b"origin")
    if origin and urlsplit(origin).netloc != headers.get(b"host") and origin not in _origins():
        msg = f"{origin[:100]}: requests of this page are refused. List it in MONAI_LABEL_CORS_ORIGINS to allow them."
        raise _Refused(FORBIDDEN, msg)
    route = route_of(scope["method"], scope["path"].removeprefix(settings.MONAI_LABEL_API_STR))
    if route is None:
        msg = f"{scope['method']} {scope['path'][:100]!r} is not served here. See GET /info."
        raise _Refused(NOT_FOUND, msg)
    return route


def _origins() -> list[str]:
    return [str(origin).rstrip("/") for origin in settings.MONAI_LABEL_CORS_ORIGINS or []]


async def _body(receive: Receive) -> bytes:
    """Return the whole body of a request."""
    content = bytearray()
    while True:
        message = await receive()
        content += message.get("body", b"")
        if len(content) > LARGEST:
            msg = f"The request is larger than {LARGEST >> 20} MB. Send one radiograph or label."
            raise _Refused(TOO_LARGE, msg)
        if not message.get("more_body"):
            return bytes(content)


def _replay(body: bytes, receive: Receive | None) -> Receive:
    """Return a receiver that repeats a body and then continues with the original one."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        if messages:
            return messages.pop()
        return await receive() if receive else {"type": "http.disconnect"}

    return receive_again


async def _check_form(route: Route, request: Request) -> set[str]:
    """Check the fields of a form; return their names."""
    try:
        form = await request.form(max_files=8, max_fields=8)
    except HTTPException as error:
        msg = f"The form cannot be read ({error.detail}). Send multipart/form-data."
        raise InputError(msg) from error
    fields = _single(form.multi_items(), "the form")
    for name, value in fields.items():
        _check_field(name, value, route)
    await form.close()
    return set(fields)


def _check_field(name: str, value: Any, route: Route) -> None:
    """Check a field of a form: a file with a named ending, or JSON."""
    if name in route.files:
        _check_file(name, value)
    elif name in route.fields:
        checked({name: value}, route.fields)
    elif name not in route.form or isinstance(value, UploadFile):
        msg = f"{name[:60]!r} is not a field. The fields are {', '.join((*route.form, *route.files, *route.fields))}."
        raise InputError(msg)
    elif value.strip() == "null":
        msg = f'expected "{name}" as a JSON object, got null: send an object or leave the field out'
        raise InputError(msg)
    else:
        checked(_object(value, f'"{name}"'), OPTIONS[route.form[name]])


def _object(content: str | bytes, field: str) -> Any:
    """Return the value of a JSON text; an empty object for none."""
    found = parsed(content, field)
    return {} if found is None else found


def _check_file(name: str, value: Any) -> None:
    """Check the name of a file, possibly a whole path: its ending becomes that of a temporary file."""
    given = value.filename or "" if isinstance(value, UploadFile) else ""
    last = re.split(r"[/\\]", given)[-1]
    too_long = len(given.encode()) > LONGEST_PATH or len(last.encode()) > LONGEST_NAME
    if not given.isprintable() or too_long or not last or last.startswith("."):
        remedy = f"Send a file with a name such as joint.png, of at most {LONGEST_NAME} bytes."
        msg = f'"{name}" has the file name {given[:60]!r}. {remedy}'
        raise InputError(msg)


def _single(items: Iterable[tuple[str, Any]], where: str) -> dict[str, Any]:
    """Return items as a dictionary; refuse repeated ones."""
    items = list(items)
    found = dict(items)
    if len(found) != len(items):
        msg = f"An option occurs twice in {where}. Pass every option once."
        raise InputError(msg)
    return found
