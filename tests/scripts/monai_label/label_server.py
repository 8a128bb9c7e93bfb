"""The MONAI Label server with the app of scripts/monai_label, as its clients ask it through HTTP."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs" / "monai_label.md").read_text()
DOCUMENTED_START = DOCUMENT.split("```bash\n")[2].splitlines()[0]
DOCUMENTED_PYTHON = ".venv-label/bin/python"


class Server:
    """A running server; everything that it answers is kept."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.answered = b""

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def ask(self, method: str, path: str, body: bytes | None = None, content: str = "", **query: Any) -> bytes:
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, body, {"Content-Type": content} if content else {}, method=method)
        with urllib.request.urlopen(request, timeout=120) as response:
            answer: bytes = response.read()
        self.answered += answer
        return answer

    def json(self, method: str, path: str, sent: Any = None, **query: Any) -> Any:
        body = None if sent is None else json.dumps(sent).encode()
        return json.loads(self.ask(method, path, body, "application/json" if body else "", **query))

    def form(self, method: str, path: str, files: dict[str, Path] | None = None, **query: Any) -> bytes:
        """Send ``params`` (JSON) and files as a form."""
        return self.fields(method, path, {"params": query.pop("params", {})}, files, **query)

    def fields(
        self, method: str, path: str, sent: dict[str, Any], files: dict[str, Path] | None = None, **query: Any
    ) -> bytes:
        """Send JSON fields and files as a form."""
        boundary = uuid.uuid4().hex
        fields = {name: json.dumps(value).encode() for name, value in sent.items()}
        heads = {name: f'name="{name}"' for name in sent}
        for name, file in (files or {}).items():
            fields[name], heads[name] = file.read_bytes(), f'name="{name}"; filename="{file}"'
        parts = [
            f"--{boundary}\r\nContent-Disposition: form-data; {heads[name]}\r\n\r\n".encode() + value + b"\r\n"
            for name, value in fields.items()
        ]
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        return self.ask(method, path, body, f"multipart/form-data; boundary={boundary}", **query)

    def infer(self, task: str, image: str, **params: Any) -> nib.Nifti1Image:
        answer = self.form("POST", f"/infer/{task}", image=image, output="image", params=params)
        return nib.Nifti1Image.from_bytes(gzip.decompress(answer))

    def said(self, task: str, image: str, **params: Any) -> Any:
        return json.loads(self.form("POST", f"/infer/{task}", image=image, output="json", params=params))

    def save(self, image: str, file: Path, **params: Any) -> Any:
        return json.loads(self.form("PUT", "/datastore/label", {"label": file}, image=image, params=params))

    def train(self, **settings: Any) -> Any:
        """Train to the end; the last state of the task."""
        self.json("POST", "/train/bone_masks", settings)
        while (state := self.json("GET", "/train/"))["status"] in ("SUBMITTED", "RUNNING"):
            time.sleep(0.5)
        return state

    def objects(self) -> Any:
        return self.json("GET", "/datastore/", output="all")["objects"]


def refusal(call: Any, *args: Any, **options: Any) -> str:
    """What the server says to a request that it refuses."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        call(*args, **options)
    assert caught.value.code == 400
    message: str = json.loads(caught.value.read())["detail"]
    assert message and "Traceback" not in message
    return message


@contextmanager
def started(label_python: str, folder: Path) -> Iterator[tuple[Server, subprocess.Popen[bytes]]]:
    """A server of the studies and weights in a folder, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [label_python if word == DOCUMENTED_PYTHON else word for word in shlex.split(DOCUMENTED_START)]
    command[command.index("STUDIES")] = str(folder / "studies")
    command += ["--port", str(port), "--conf", "model_dir", str(folder / "model")]
    (folder / "tmp").mkdir()
    own = {"MONAI_LABEL_SESSION_PATH": str(folder / "sessions"), "TMPDIR": str(folder / "tmp")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **own}, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    running = Server(f"http://127.0.0.1:{port}", folder)
    try:
        wait_for(running, process)
        yield running, process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def wait_for(server: Server, process: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        if process.poll() is not None:
            break
        try:
            server.json("GET", "/info/")
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the server did not start: {server.log[-2000:]}")


def status_of(call: Any, *args: Any, **options: Any) -> int:
    try:
        call(*args, **options)
    except urllib.error.HTTPError as error:
        error.read()
        return error.code
    return 200


def leftovers(server: Server) -> list[Path]:
    """Temporary files of the server, without its lock and the settings of its log."""
    files = [path for path in (server.folder / "tmp").rglob("*") if path.is_file()]
    return [path for path in files if path.name != ".lock" and path.suffix != ".json"]


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
