"""Answers to requests that cannot be fulfilled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bundle.errors import input_message
from fastapi import HTTPException

BAD_REQUEST, NOT_FOUND = 400, 404


@contextmanager
def answering(path: str = "", name: str = "") -> Iterator[None]:
    """Answer an :class:`bundle.errors.InputError` by HTTP 400 with its message, without a traceback.

    Args:
        path: path of a file, which the client need not know.
        name: name of the file in the message.
    """
    try:
        yield
    except Exception as error:
        message = input_message(error)
        if message is None:
            raise
        raise HTTPException(BAD_REQUEST, without_path(message, path, name)) from error


def without_path(message: str, path: str, name: str) -> str:
    """Replace the path of a file in a message by its name."""
    return message.replace(path, name) if path else message
