"""Weights from files: the ones that were shipped, whole, and of the network that takes them."""

from __future__ import annotations

import hashlib
import pickle
import textwrap
from pathlib import Path
from typing import Any

import torch
from bundle.base import parse_json
from bundle.errors import InputError
from torch import nn

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"
"""What a file begins with that Git LFS has not yet replaced by its content."""


def load_weights(
    network: nn.Module, path: Path, what: str, remedy: str, map_location: Any = None, sha256: str | None = None
) -> None:
    """Load a flat state dict into a network.

    Args:
        network: that takes the weights.
        path: of the file.
        what: the network, for the message.
        remedy: what to do when there is no such file, or the weights are those of another network.
        map_location: device to load to.
        sha256: checksum that the file must have, if one is stated (:func:`stated_sha256`).

    Raises:
        InputError: the file is not there, cannot be read, is a pointer of Git LFS, damaged, not the one that is
            described, or not a state dict of this network with finite numbers.
    """
    put_state(network, read_state(path, what, remedy, map_location, sha256), path, what, remedy)


def read_state(path: Path, what: str, remedy: str, map_location: Any = None, sha256: str | None = None) -> Any:
    """What a file of weights holds; arguments and errors as of :func:`load_weights`."""
    if not path.is_file():
        msg = f"expected the weights of this {what}, got {path}: there is no such file: {remedy}"
        raise InputError(msg)
    check_weights(path, sha256)
    try:
        return torch.load(path, map_location, weights_only=True)
    except Exception as error:  # about anything may stand in a file
        raise _not_loaded(path, what, error, remedy) from error


def put_state(network: nn.Module, state: Any, path: Path, what: str, remedy: str) -> None:
    """Load the state dict that a file holds into a network; arguments and errors as of :func:`load_weights`."""
    try:
        network.load_state_dict(state)
    except Exception as error:  # about anything may stand in a file
        raise _not_loaded(path, what, error, remedy) from error
    broken = [name for name, values in state.items() if not values.isfinite().all()]
    if broken:
        msg = f"{path}: the weights hold NaN or infinite numbers, in {broken[0]} for one: {remedy}"
        raise InputError(msg)


def _not_loaded(path: Path, what: str, error: Exception, remedy: str) -> InputError:
    return InputError(f"expected the weights of this {what}, got {path} ({load_failure(error)}): {remedy}")


def file_digest(path: Path) -> str:
    """The first 12 digits of a file's SHA-256; "none" where it is not there."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else "none"


def file_label(path: Path) -> str:
    """A file's name with what tells it from others (:func:`file_digest`)."""
    return f"{path.name} (sha256 {file_digest(path)})"


def stated_sha256(metadata: str | Path, name: str) -> str | None:
    """Checksum of a file of weights by the bundle's metadata: ``{"weights": {"model.pt": {"sha256": ...}}}``.

    Returns:
        The SHA-256 in hexadecimal digits; None where the metadata does not state one.

    Raises:
        InputError: the metadata cannot be read.
    """
    try:
        found = parse_json(Path(metadata).read_bytes()).get("weights", {}).get(name, {}).get("sha256")
    except (OSError, ValueError, AttributeError) as error:
        msg = f"expected the bundle's metadata as a JSON object, got {metadata} ({error}): restore the file"
        raise InputError(msg) from error
    return None if found is None else str(found).lower()


def check_weights(path: Path, sha256: str | None) -> None:
    """Refuse a file of weights that is a pointer of Git LFS or does not have the checksum that is stated, if one is.

    Raises:
        InputError: see above, or the file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        msg = f"expected a file of weights, got {path}, which cannot be read ({error}): check its rights"
        raise InputError(msg) from error
    if content.startswith(LFS_POINTER):
        msg = f"expected weights, got a pointer of Git LFS: {path}: fetch the file itself by `git lfs pull`"
        raise InputError(msg)
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        msg = (
            f"expected the shipped weights (sha256 {sha256[:12]}), got {path} of {len(content)} bytes (sha256 "
            f"{found[:12]}): the file is damaged, incomplete or another one: fetch it again, or name your own"
        )
        raise InputError(msg)


def load_failure(error: Exception) -> str:
    """Why a file could not be loaded, in a line."""
    if isinstance(error, (pickle.UnpicklingError, EOFError)) or "PytorchStreamReader" in str(error):
        return "it is damaged, or torch did not write it"
    return textwrap.shorten(str(error), 300)
