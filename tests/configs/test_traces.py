"""The search for planted identifiers finds them whatever holds them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tests.configs.traces import MARK, Plants
from torch.utils.tensorboard import SummaryWriter

pytestmark = pytest.mark.long


def _png(word: str) -> bytes:
    content, told = io.BytesIO(), PngInfo()
    told.add_itxt("Title", word, zip=True)
    Image.new("L", (4, 4)).save(content, "PNG", pnginfo=told)
    return content.getvalue()


def _zip(word: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", word * 20)
    return content.getvalue()


def _tar(word: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        member = tarfile.TarInfo("a.png")
        member.size = len(_png(word))
        archive.addfile(member, io.BytesIO(_png(word)))
    return content.getvalue()


def _checkpoint(word: str) -> bytes:
    content = io.BytesIO()
    torch.save({"state": {"list": word, "x": torch.zeros(3)}}, content)
    return content.getvalue()


def _events(word: str, folder: Path) -> bytes:
    with SummaryWriter(str(folder)) as writer:
        writer.add_text("name", word)
        writer.add_image("picture", np.zeros((1, 4, 4), np.uint8))
    return next(folder.iterdir()).read_bytes()


HOLDERS: dict[str, Callable[[str, Path], bytes]] = {
    "text": lambda word, _: f"a {word.lower()} b".encode(),
    "UTF-16": lambda word, _: word.encode("utf-16"),
    "gzip": lambda word, _: gzip.compress(word.encode() * 20),
    "zip in gzip": lambda word, _: gzip.compress(_zip(word)),
    "PNG": lambda word, _: _png(word),
    "PNG inside a file": lambda word, _: b"head" + _png(word) + b"tail",
    "pixels": lambda word, _: _pixels(word),
    "tar": lambda word, _: _tar(word),
    "checkpoint": lambda word, _: _checkpoint(word),
    "events": _events,
    "JSON": lambda word, _: json.dumps({"a": f"é{word}"}).replace(word[0], f"\\u00{ord(word[0]):02x}").encode(),
}


def _pixels(word: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.tile(np.frombuffer(word.encode(), np.uint8), (20, 1))).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("kind", ["word", "uid", "date"])
def test_an_identifier_is_found_in_whatever_holds_it(tmp_path: Path, holder: str, kind: str) -> None:
    plants = Plants()
    text = getattr(plants, kind)("here")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a").write_bytes(HOLDERS[holder](text, tmp_path / "events"))
    assert {trace[:2] for trace in plants.found_below(tmp_path / "files")} == {(text, "here")}
    (tmp_path / "files" / "a").write_bytes(HOLDERS[holder]("harmless", tmp_path / "more"))
    assert plants.found_below(tmp_path / "files") == []


def test_an_identifier_is_found_in_the_name_of_a_file(tmp_path: Path) -> None:
    plants = Plants()
    word = plants.word("name")
    (tmp_path / f"{word}_layers.nii.gz").write_bytes(b"")
    assert [trace[0] for trace in plants.found_below(tmp_path)] == [word] and word.startswith(MARK)
