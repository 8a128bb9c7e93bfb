"""Output folders: the run that owns their results, and the end of a reservation."""

from __future__ import annotations

import atexit
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bundle.base import parse_json, read_json
from bundle.errors import InputError
from bundle.io import locking
from bundle.io.identity import private_setting
from bundle.io.writing import PART, storing, write_bytes

MARKER = "run.json"
"""File that states the run whose results a folder contains."""

OPTIONS = "options"
"""Setting of a fingerprint with the options of its run; a fingerprint without them matches any options."""
RUNTIME = "runtime"
"""Setting of a fingerprint with the runtime of the separation."""
_FORMER = {RUNTIME: "torch"}
"""Settings that fingerprints of older versions lack, with the value that they imply."""
_CHECKSUM = "checksum with all folders"
"""Setting of a fingerprint that distinguishes data sets of the same name."""
_NO_RESULTS = re.compile(rf"{re.escape(MARKER)}|{re.escape(locking.LOCK)}|.*{re.escape(PART)}")
_TRACKING = re.compile(r"config_\d{8}_\d{6}\.json|mlruns(\.db.*)?")
"""Files that MONAI's experiment tracking writes to the output folder before the run."""


@dataclass
class _Reservation:
    """Folder reserved by a run, or a result that it has written elsewhere."""

    named: Path
    made: list[Path] = field(default_factory=list)
    path: Path = field(init=False)
    process: int = field(default_factory=os.getpid)

    def __post_init__(self) -> None:
        self.path = self.named.absolute()

    def end(self) -> None:
        """Release the folder, and remove it if it contains no result."""
        locking.release(self.path)
        if locking.is_first() and self.path.is_dir() and not holds_results(self.path):
            with suppress(OSError):
                (self.path / MARKER).unlink(missing_ok=True)
            for folder in self.made:
                with suppress(OSError):
                    folder.rmdir()


_runs: list[list[_Reservation]] = [[]]
"""Reservations of the active runs of this process, each nested in the one before."""


def fingerprint(settings: Mapping[str, Any], options: Mapping[str, Any] | None = None) -> str:
    """Serialize the settings of a run: equal for equal settings in any order; readable in the marker file.

    Paths and lists have their private form (:func:`bundle.io.private_setting`), with a checksum of all settings.

    Args:
        settings: settings of the run.
        options: further options by id, in their private form; compared only with a fingerprint that has options.
    """
    whole = json.dumps(settings, sort_keys=True, default=str)
    shown = json.loads(json.dumps(private_setting("", settings), sort_keys=True, default=str))
    if json.dumps(shown, sort_keys=True) != whole:
        shown[_CHECKSUM] = f"{zlib.crc32(whole.encode()):08x}"
    return json.dumps({**shown, OPTIONS: dict(options)} if options else shown, sort_keys=True, default=str)


def reserve_output(folder: str | Path, run: str, apart: Sequence[str] = ()) -> Path:
    """Reserve ``folder`` as the output of ``run`` until the run ends, or fail before anything is computed.

    A folder that is new, without results or already this run's is accepted, so that a run can be resumed or repeated.
    The marker file ``run.json`` states the run; writing it also tests the permission to write. ``run.lock`` excludes
    other runs. At the end of the run the lock is removed, and so is a folder without results.

    Args:
        folder: output folder, created with its parents if absent.
        run: fingerprint of the run (:func:`fingerprint`).
        apart: names of subfolders that are reserved separately and are not results of this run.

    Returns:
        The folder.

    Raises:
        InputError: the folder contains something else, is a file, cannot be created or written to, or another run is
            writing to it.
    """
    folder = Path(folder)
    marker = folder / MARKER
    with storing(marker):
        _check(marker, run, apart)
        new = _lock(folder)
    try:
        with storing(marker):
            _check(marker, run, apart)
        write_bytes(marker, json.dumps({"run": run}, indent=1).encode())
    except InputError:
        for reservation in new:
            reservation.end()
        raise
    _runs[-1].extend(new)
    return folder


def check_output(folder: str | Path, run: str) -> None:
    """Reject a folder that :func:`reserve_output` would reject, without reserving it: several runs may read it.

    Raises:
        InputError: the folder contains something else, or cannot be read.
    """
    marker = Path(folder) / MARKER
    with storing(marker):
        _check(marker, run)


def is_output(folder: str | Path) -> bool:
    """Whether a folder has the marker file of a run (:func:`reserve_output`), so that its files are results."""
    try:
        return isinstance(read_json(Path(folder) / MARKER)["run"], str)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _lock(folder: Path) -> list[_Reservation]:
    """Create and lock a folder; return its reservation, or none if this process has already reserved it."""
    if folder.absolute() in reserved() and folder.is_dir():
        return []
    reservation = _Reservation(folder, _make(folder))
    locking.acquire(folder)
    return [reservation]


def name_result(path: str | Path) -> None:
    """Record a file that a run has written outside its reserved folders, to report it at the end."""
    _runs[-1].append(_Reservation(Path(path)))


def release_outputs() -> list[Path]:
    """Release the reservations of the ending run.

    Returns:
        The folders and files of its results, outermost only.
    """
    reservations = [reservation for reservation in _runs[-1] if reservation.process == os.getpid()]
    _runs[-1].clear()
    for reservation in reversed(reservations):
        reservation.end()
    folders = {reservation.path for reservation in reservations}
    outer = [reservation for reservation in reservations if not folders & set(reservation.path.parents)]
    return [reservation.named for reservation in outer if reservation.path.is_file() or holds_results(reservation.path)]


@contextmanager
def inner_run() -> Iterator[None]:
    """Context of a run inside another run; the reservations of the inner run end with it."""
    _runs.append([])
    try:
        yield
    finally:
        release_outputs()
        _runs.pop()


def reserved() -> list[Path]:
    """List the folders that this process has reserved, those of the outermost run first."""
    return [reservation.path for reservations in _runs for reservation in reservations]


@atexit.register
def _end_all() -> None:
    while len(_runs) > 1:
        release_outputs()
        _runs.pop()
    release_outputs()


def holds_results(folder: Path) -> bool:
    """Whether a folder contains, at any depth, a file other than those of the reservation."""
    return any(
        not _NO_RESULTS.fullmatch(name)
        for place, folders, names in os.walk(folder)
        for name in [*names, *(part for part in folders if os.path.islink(os.path.join(place, part)))]
    )


def _make(folder: Path) -> list[Path]:
    """Create a folder; return the created folders, the innermost first."""
    missing = [place for place in (folder.absolute(), *folder.absolute().parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _check(marker: Path, run: str, apart: Sequence[str] = ()) -> None:
    """Reject a folder that contains something else."""
    if not marker.parent.exists():
        return
    names = [name for name in os.listdir(marker.parent) if name not in apart and not _TRACKING.fullmatch(name)]
    if any(_is_result(marker.parent / name) for name in names):
        _check_marker(marker, run)


def _is_result(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        return holds_results(path)
    return not _NO_RESULTS.fullmatch(path.name)


def _check_marker(marker: Path, run: str) -> None:
    try:
        found = read_json(marker)["run"]
    except (OSError, ValueError, KeyError, TypeError):
        raise _not_ours(marker, f"other files and no readable {MARKER}") from None
    if found != run and (changed := _changed_settings(found, run)) is not None:
        raise _not_ours(marker, f"the results of another run{changed}")


def _not_ours(marker: Path, content: str) -> InputError:
    remedy = "Choose another output folder (output_dir) or delete this one."
    return InputError(f"{marker.parent.absolute()} contains {content}. {remedy}")


def _changed_settings(found: str, run: str) -> str | None:
    """The differing settings, for the message: empty if the fingerprints are not settings, None if none differs."""
    try:
        old, new = parse_json(found), parse_json(run)
        options = old.pop(OPTIONS, {}), new.pop(OPTIONS, {})
        changed = _differences(old, new) | (_differences(*options) if all(options) else {})
    except (ValueError, TypeError, AttributeError):
        return ""
    shown = {key: change for key, change in changed.items() if key != _CHECKSUM} or changed
    return f" ({', '.join(f'{key} {change}' for key, change in shown.items())})" if changed else None


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    old, new = ({**_FORMER, **settings} for settings in (old, new))
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return {key: f"was {old.get(key)!r}, is {new.get(key)!r}" for key in keys}
