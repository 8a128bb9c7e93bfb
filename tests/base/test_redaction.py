"""Texts on their way out do not say whose radiographs are read."""

from __future__ import annotations

import pprint
import subprocess
import sys
from pathlib import Path

import pytest
from bundle.base.redaction import Redaction, bare_values, holds, pseudonym

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def redaction() -> Redaction:
    found = Redaction()
    found.hide_folder("/disk/Clinic Doe/Data", "Data")
    found.hide_list("doe_train", "list_train")
    found.hide_values(["Doe", "Mark", "P-4711", "19580131", "1.2.826.0.1", "Somewhere Clinic"])
    return found


@pytest.mark.parametrize(
    ("text", "terminal", "record"),
    [
        ("in /disk/Clinic Doe/Data", "in /disk/Clinic {Doe}/Data", "in Data"),
        ("/disk/Clinic Doe/Data/a/1.png: bad", "/disk/Clinic {Doe}/Data/a/1.png: bad", "Data/a/1.png: bad"),
        ("/disk/Clinic Doe/Data/doe/2.dcm", "/disk/Clinic {Doe}/Data/{doe}/2.dcm", "Data/{doe}/2.dcm"),
        ("/disk/Clinic Doe/Data/a/p4711.nii.gz", "/disk/Clinic {Doe}/Data/a/{p4711}.nii.gz", "Data/a/{p4711}.nii.gz"),
        ("list doe_train", "list doe_train", "list list_train"),
        ("got '19580131' and 'P-4711'", "got '{19580131}' and '{P-4711}'", "got '{19580131}' and '{P-4711}'"),
        ("UID 1.2.826.0.1, Somewhere Clinic", "UID {1.2.826.0.1}, {Somewhere Clinic}", None),
        ("mark the joint again", "mark the joint again", None),
        ("/elsewhere/2024-01-31/Database: 1.2.3.4.5.6", "/elsewhere/2024-01-31/Database: 1.2.3.4.5.6", None),
    ],
)
def test_texts_for_the_terminal_and_for_files(
    redaction: Redaction, text: str, terminal: str, record: str | None
) -> None:
    for found, expected in ((redaction.on_terminal(text), terminal), (redaction.in_record(text), record or terminal)):
        parts = [pseudonym(part) if index % 2 else part for index, part in enumerate(_split(expected))]
        assert found == "".join(parts)


def _split(text: str) -> list[str]:
    """Plain parts and, in braces, those that are pseudonyms, in turn."""
    return text.replace("}", "{").split("{")


def test_a_name_holds_a_value_however_it_is_written() -> None:
    values = bare_values(["Doe", "P-4711", "ab"])
    assert all(holds(name, values) for name in ("DOE", "x_p4711_y", "Jane d'Oé"))
    assert not any(holds(name, values) for name in ("ab", "hand", "p471", ""))


REPORTED = """
import logging, sys, warnings
from bundle.errors import report_plainly
from bundle.base.redaction import REDACTION
report_plainly()
logging.basicConfig(stream=sys.stdout)
REDACTION.hide_folder("/disk/doe/Data", "Data")
REDACTION.hide_values(["P-4711"])
logging.warning("%s of %s", "/disk/doe/Data/a.png", "P-4711")
warnings.warn("P-4711")
try:
    raise KeyError("/disk/doe/Data/P-4711")
except KeyError:
    logging.exception("failed")
raise RuntimeError("a bug with P-4711")
"""


@pytest.mark.slow
def test_log_records_warnings_and_tracebacks_are_changed_on_their_way_out(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(REPORTED)
    program = f"exec(compile(open({str(tmp_path / 'program.py')!r}).read(), 'program', 'exec'))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    hidden = pseudonym("P-4711")
    assert f"Data/a.png of {hidden}" in done.stdout and f"KeyError: 'Data/{hidden}'" in done.stdout
    assert f"UserWarning: {hidden}" in done.stderr and f"RuntimeError: a bug with {hidden}" in done.stderr
    assert "4711" not in done.stdout + done.stderr and "/disk/doe" not in done.stdout


@pytest.mark.parametrize("folder", ["/data/Anna Meier born 1970/visit", "/data/x/Anna's own folder/visit"])
def test_a_folder_that_a_log_splits_over_lines_is_hidden(folder: str) -> None:
    redaction = Redaction()
    redaction.hide_folder(folder, "folder_0")
    split = pprint.pformat(f"{folder}/none", width=20)
    assert "\n" in split
    shown = redaction.in_record(f"> no_hands_dir: {split}")
    assert "folder_0" in shown
    assert not any(word in shown for word in ("Anna", "Meier", "1970"))
