"""Runtimes that compute exported networks on a CPU, with the results of torch in less time.

A runtime is one subclass of :class:`Runtime` in :data:`RUNTIMES`.
"""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from contextlib import redirect_stderr
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, ClassVar

import numpy as np
from bundle.errors import InputError
from numpy.typing import NDArray

TORCH = "torch"
"""Name of the runtime that every network has."""

PROCESSOR = Path("/proc/cpuinfo")
"""Properties of the processor on Linux."""

TELEMETRY = "openvino_telemetry"
"""Package through which OpenVINO sends usage reports, if it can be imported."""

_EXPORTER = "onnx"
"""Package that the export of a network needs."""

INSTALLATION = f"pip install openvino {_EXPORTER}"
"""Command that installs the fastest runtime; ``requirements-runtimes.txt`` has the tested versions."""

Floats = NDArray[np.float32]


class Runtime(ABC):
    """A network compiled for one input shape.

    Each call takes one thread. Calls from several threads run in parallel, and their results do not depend on it.

    Args:
        model: network in ONNX format, with one input and one output.
        bfloat16: whether to compute in bfloat16.

    Attributes:
        name: name of the runtime and of its Python package.
    """

    name: ClassVar[str]

    @abstractmethod
    def __init__(self, model: bytes, bfloat16: bool = False) -> None:
        pass

    @abstractmethod
    def __call__(self, image: Floats) -> Floats:
        """Compute the output of the network for a contiguous input."""

    @classmethod
    def is_installed(cls) -> bool:
        """Whether the packages of the runtime and of the export are installed."""
        return all(find_spec(package) for package in (cls.name, _EXPORTER))

    @classmethod
    def has_bfloat16(cls) -> bool:
        """Whether the runtime computes in bfloat16 on this processor."""
        return False

    @classmethod
    def label(cls) -> str:
        """Name and version."""
        return package_label(cls.name)


class OpenVino(Runtime):
    """Intel's OpenVINO, for processors of any vendor.

    A compiled model serves one call at a time; a call while all are busy compiles another. Threads are not bound to
    processor cores, so that several processes can share a machine.
    """

    name = "openvino"

    def __init__(self, model: bytes, bfloat16: bool = False) -> None:
        self._model = _core().read_model(model)
        self._options: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        }
        self._idle: SimpleQueue[Any] = SimpleQueue()
        self._idle.put(self._request())

    def _request(self) -> Any:
        return _core().compile_model(self._model, "CPU", self._options).create_infer_request()

    def __call__(self, image: Floats) -> Floats:
        """See :meth:`Runtime.__call__`."""
        try:
            request = self._idle.get_nowait()
        except Empty:
            request = self._request()
        try:
            found: Floats = request.infer([image], share_inputs=True, share_outputs=False)[0]
        finally:
            self._idle.put(request)
        return found

    @classmethod
    def has_bfloat16(cls) -> bool:
        """See :meth:`Runtime.has_bfloat16`."""
        return processor_has_bfloat16()


@cache
def _core() -> Any:
    """Return the core of OpenVINO for the life of the process, so that its libraries are never unloaded."""
    return _openvino().Core()


@cache
def _openvino() -> Any:
    """Import OpenVINO without its telemetry, which otherwise reports every import to the vendor's server.

    A redirected standard error is restored during the import, because absl, which OpenVINO imports, would close it
    when logging ends.
    """
    hidden = {} if TELEMETRY in sys.modules else {TELEMETRY: None}
    sys.modules.update(hidden)  # type: ignore[arg-type]
    try:
        with redirect_stderr(sys.__stderr__ or sys.stderr):
            import openvino
    finally:
        for name in hidden:
            del sys.modules[name]
    return openvino


class OnnxRuntime(Runtime):
    """Microsoft's ONNX Runtime, which has no bfloat16 on CPUs."""

    name = "onnxruntime"

    def __init__(self, model: bytes, bfloat16: bool = False) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, image: Floats) -> Floats:
        """See :meth:`Runtime.__call__`."""
        found: Floats = self._session.run(None, {self._input: image})[0]
        return found


RUNTIMES: dict[str, type[Runtime]] = {runtime.name: runtime for runtime in (OpenVino, OnnxRuntime)}
"""Runtimes by name, the fastest first."""


def installed_runtimes() -> list[type[Runtime]]:
    """List the installed runtimes, the fastest first."""
    return [runtime for runtime in RUNTIMES.values() if runtime.is_installed()]


def runtime_of(name: str) -> type[Runtime]:
    """Return a runtime by its name.

    Args:
        name: key of :data:`RUNTIMES`.

    Raises:
        InputError: the name is unknown, or the runtime is not installed.
    """
    if name not in RUNTIMES:
        msg = f"--runtime {name!r} is unknown. Pass {', '.join([*RUNTIMES, TORCH])}."
        raise InputError(msg)
    if not RUNTIMES[name].is_installed():
        command = f"pip install {name} {_EXPORTER}"
        msg = f"--runtime {name} is not installed. Install it with `{command}`, or pass --runtime {TORCH}."
        raise InputError(msg)
    return RUNTIMES[name]


def processor_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware, according to Linux; False on other systems."""
    text = PROCESSOR.read_text() if PROCESSOR.is_file() else ""
    return bool(re.search(r"^flags\s*:.*\b(amx_bf16|avx512_bf16)\b", text, re.MULTILINE))


def package_label(name: str) -> str:
    """Return name and version of an installed package."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name
