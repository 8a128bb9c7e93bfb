"""Loading and validation of network weights: checksum, integrity and match with the network."""

from __future__ import annotations

import hashlib
import pickle
import textwrap
from pathlib import Path
from typing import Any

import torch
from bundle.base import read_json
from bundle.errors import InputError
from torch import nn

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1"
"""First line of a Git LFS pointer file."""


def load_weights(
    network: nn.Module, path: Path, what: str, remedy: str, map_location: Any = None, sha256: str | None = None
) -> None:
    """Load a flat state dict into a network.

    Args:
        network: network that receives the weights.
        path: file of the weights.
        what: name of the network in error messages.
        remedy: advice in error messages if the file is missing or belongs to another network.
        map_location: device to load to.
        sha256: required checksum (:func:`stated_sha256`); None disables the check.

    Raises:
        InputError: if the file is missing, unreadable, a Git LFS pointer or damaged, has another checksum, or is not a
            state dict of this network with finite numbers.
    """
    put_state(network, read_state(path, what, remedy, map_location, sha256), path, what, remedy)


def read_state(path: Path, what: str, remedy: str, map_location: Any = None, sha256: str | None = None) -> Any:
    """Load the content of a file of weights; arguments and errors as in :func:`load_weights`."""
    if not path.is_file():
        msg = f"{path}: the weights of this {what} are missing. {_sentence(remedy)}"
        raise InputError(msg)
    check_weights(path, sha256)
    try:
        return torch.load(path, map_location, weights_only=True)
    except Exception as error:  # a file may contain anything
        raise _not_loaded(path, what, error, remedy) from error


def put_state(network: nn.Module, state: Any, path: Path, what: str, remedy: str) -> None:
    """Load the state dict of a file into a network; arguments and errors as in :func:`load_weights`."""
    try:
        network.load_state_dict(state)
    except Exception as error:  # a file may contain anything
        raise _not_loaded(path, what, error, remedy) from error
    broken = [name for name, values in state.items() if not values.isfinite().all()]
    if broken:
        msg = f"{path}: the weights contain NaN or infinite numbers, for example in {broken[0]}. {_sentence(remedy)}"
        raise InputError(msg)


def _not_loaded(path: Path, what: str, error: Exception, remedy: str) -> InputError:
    return InputError(f"{path}: not the weights of this {what} ({load_failure(error)}). {_sentence(remedy)}")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def file_digest(path: Path) -> str:
    """Return the first 12 digits of a file's SHA-256; "none" if the file is missing."""
    if not path.is_file():
        return "none"
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()[:12]


def file_label(path: Path) -> str:
    """Return a file's name with its :func:`file_digest`."""
    return f"{path.name} (sha256 {file_digest(path)})"


def weights_digest(network: nn.Module) -> str:
    """Return the SHA-256 of the names and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def stated_sha256(metadata: str | Path, name: str) -> str | None:
    """Read the checksum of a file of weights from the metadata: ``{"weights": {"model.pt": {"sha256": ...}}}``.

    Returns:
        The SHA-256 in hexadecimal digits; None if the metadata does not state one.

    Raises:
        InputError: if the metadata cannot be read.
    """
    try:
        found = read_json(metadata).get("weights", {}).get(name, {}).get("sha256")
    except (OSError, ValueError, AttributeError) as error:
        msg = f"{metadata}: not a JSON object with the bundle's metadata ({error}). Restore the file."
        raise InputError(msg) from error
    return None if found is None else str(found).lower()


def check_weights(path: Path, sha256: str | None) -> None:
    """Refuse a file of weights that is a Git LFS pointer or has another checksum than ``sha256``, if given.

    Raises:
        InputError: if the file is refused or cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        msg = f"{path}: the weights cannot be read ({error}). Check the permissions of the file."
        raise InputError(msg) from error
    if content.startswith(LFS_POINTER):
        msg = f"{path}: a Git LFS pointer instead of weights. Fetch the file with `git lfs pull`."
        raise InputError(msg)
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        msg = (
            f"{path}: not the shipped weights (sha256 {sha256[:12]}): {len(content)} bytes with sha256 {found[:12]}. "
            "The file is damaged, incomplete or another one. Download it again, or choose your own weights."
        )
        raise InputError(msg)


def load_failure(error: Exception) -> str:
    """Describe in one line why a file could not be loaded."""
    if isinstance(error, (pickle.UnpicklingError, EOFError)) or "PytorchStreamReader" in str(error):
        return "it is damaged, or torch did not write it"
    return textwrap.shorten(str(error), 300)
