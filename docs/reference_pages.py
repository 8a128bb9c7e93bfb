"""The pages of the site that are generated from the package: its API, one page per room, and the index of equations."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from inspect import cleandoc, isfunction
from itertools import pairwise
from pathlib import Path
from textwrap import indent
from typing import NamedTuple

PACKAGE = "bundle"
ROOT = Path(__file__).resolve().parents[1]

EQUATIONS = {
    "Eq. 1": "`L = N_G(J, M) * M`: the generator's layers, inside the masks",
    "Eq. 2": "`M_S = N_S(R')`: the supervisor segments the bones in shifted radiographs",
    "Eq. 3": "`M_D = N_D(L_0)`: the discriminator detects bone shadows in the soft tissue",
    "Eq. 4": "`R = f_r(L) = 1 - prod_i (1 - L_i)`: composition of layers",
    "Eq. 5": "`A' = f_s(A, t)`: rigid motion of each bone layer",
    "Eq. 6": "`M' = f_s(M, t)`: the same motion of its mask",
    "Eq. 7": "loss of the generator on real radiographs (stage 2)",
    "Eq. 8": "loss of the supervisor on real radiographs",
    "Eq. 9": "loss of the discriminator",
    "Eq. 10": "pseudo-images: bones composed with a factor k in the overlap",
    "Eq. 11": "loss of the generator on pseudo-images (stage 1)",
    "Eq. 12": "loss of the supervisor on pseudo-images",
    "Eq. 13": "`J* = f_r(f_s(L, t*))`: synthesis of a radiograph with another joint space",
    "Algorithm 1": "training in two stages",
}
"""What LSN (arXiv 2502.01972) numbers."""

_LIST = re.compile(r"\b(?:Eqs?\.|Equations?)\s+(\d+(?:(?:\s*(?:,|-|to|and|or|,\s*and)\s*)\d+)*)")
_ALGORITHM = re.compile(r"\bAlgorithm\s+(\d+)")
_RANGE = re.compile(r"(\d+)\s*(?:-|to)\s*(\d+)")


class Mention(NamedTuple):
    """A docstring that cites an equation: its module, what it documents, its line and its first sentence."""

    module: str
    name: str
    line: int
    summary: str


def write_reference_pages(root: Path, folder: Path) -> None:
    """Write the pages into a folder; files that stay the same keep their time, so that Sphinx skips them.

    Args:
        root: of the repository.
        folder: of the pages.
    """
    rooms = public_rooms(root)
    pages = {f"api/{room}.rst": room_page(room) for room in rooms}
    pages["api/index.md"] = index_page(rooms)
    pages["equations.md"] = equations_page(equation_index(root))
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


@cache
def public_rooms(root: Path) -> list[str]:
    """The face and every package whose ``__init__`` lists names in ``__all__``."""
    found = sorted(path.parent.relative_to(root) for path in (root / PACKAGE).rglob("__init__.py"))
    return [room for room in (".".join(path.parts) for path in found) if names_of(room)]


def names_of(room: str) -> list[str]:
    """What a room makes public."""
    return list(getattr(import_module(room), "__all__", []))


def room_page(room: str) -> str:
    """A summary table of the public names of a room, then their documentation."""
    title, names = f"{room}\n{'=' * len(room)}\n", names_of(room)
    made = [name for name in names if _public().get(f"{room}.{name}") == f"{room}.{name}"]
    listed = "".join(f"   {name}\n" for name in made)
    summary = f".. autosummary::\n   :nosignatures:\n\n{listed}"
    entries = "\n".join(_entry(room, name) for name in names)
    return f"{title}\n.. automodule:: {room}\n   :no-members:\n\n.. currentmodule:: {room}\n\n{summary}\n{entries}"


def _entry(room: str, name: str) -> str:
    """The directive that documents a name; constants are documented by the string below them."""
    value = getattr(import_module(room), name)
    if _is_made(value):
        if (elsewhere := _public()[f"{room}.{name}"]) != f"{room}.{name}":
            return f"- :py:obj:`{elsewhere}`\n"
        return f".. auto{'class' if isinstance(value, type) else 'function'}:: {name}\n"
    text = indent(constant_docs().get(f"{room}.{name}", ""), "   ")
    return f".. py:data:: {name}\n\n{text}\n"


def _is_made(value: object) -> bool:
    """Whether a value is a class or a function, which have docstrings of their own."""
    return isinstance(value, type) or isfunction(value)


@cache
def constant_docs() -> dict[str, str]:
    """The strings below constants, by the rooms that make them public."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        parts = path.relative_to(ROOT).parts
        for statement, below in pairwise(body):
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and (name := _assigned(statement)):
                found[f"{'.'.join(parts[:-1])}.{name}"] = cleandoc(str(below.value.value))
    return found


def _assigned(statement: ast.stmt) -> str:
    """The name that a statement assigns, if it is one."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return targets[0].id if isinstance(targets[0], ast.Name) else ""


def index_page(rooms: list[str]) -> str:
    """The table of contents of the API, each room with the first sentence of its docstring."""
    rows = "".join(f"| [`{room}`]({room}.rst) | {_first(import_module(room).__doc__)} |\n" for room in rooms)
    listed = "\n".join(rooms)
    toctree = f"```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    text = "Import from these packages; the names of the modules inside them may change."
    return f"# API\n\n{text}\n\n| room | contents |\n|---|---|\n{rows}\n{toctree}"


@cache
def _public() -> dict[str, str]:
    """Documented names of classes and functions by the names of the modules that define them, and by themselves."""
    found: dict[str, str] = {}
    for room in public_rooms(ROOT):
        for name in names_of(room):
            value = getattr(import_module(room), name)
            if _is_made(value):
                found.setdefault(f"{value.__module__}.{name}", f"{room}.{name}")
                found[f"{room}.{name}"] = found[f"{value.__module__}.{name}"]
    return found


def public_name(target: str) -> str:
    """The documented name of a class, a function or a member that is named by its module or room; else ""."""
    owner, _, member = target.rpartition(".")
    known = _public()
    return known.get(target, "") or (f"{known[owner]}.{member}" if owner in known else "")


def mentioned(text: str) -> list[str]:
    """The equations and algorithms that a text names.

    >>> mentioned("Eq. 5-6 and 4, by Algorithm 1")
    ['Eq. 4', 'Eq. 5', 'Eq. 6', 'Algorithm 1']
    """
    numbers: set[int] = set()
    for listed in _LIST.findall(" ".join(text.split())):
        numbers |= {int(number) for number in re.findall(r"\d+", listed)}
        for first, last in _RANGE.findall(listed):
            numbers |= set(range(int(first), int(last) + 1))
    algorithms = sorted({int(number) for number in _ALGORITHM.findall(text)})
    return [f"Eq. {number}" for number in sorted(numbers)] + [f"Algorithm {number}" for number in algorithms]


def equation_index(root: Path) -> dict[str, list[Mention]]:
    """The docstrings that cite each equation, in the order of the files; packages, which summarize, are left out."""
    index: dict[str, list[Mention]] = {}
    for path in sorted(path for path in (root / PACKAGE).rglob("*.py") if path.name != "__init__.py"):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        for name, line, text in _docstrings(ast.parse(path.read_text(encoding="utf-8"))):
            for equation in mentioned(text):
                index.setdefault(equation, []).append(Mention(module, name, line, _first(text)))
    return index


def _docstrings(tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    """Qualified name, line and docstring of everything in a module, the module itself under ""."""

    def walk(node: ast.AST, name: str) -> Iterator[tuple[str, int, str]]:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            if text := ast.get_docstring(node):
                yield name, getattr(node, "lineno", 1), text
            for child in node.body:
                yield from walk(child, f"{name}.{getattr(child, 'name', '')}".strip("."))

    return walk(tree, "")


def _first(text: str | None) -> str:
    """The first paragraph of a docstring in one line, fit for a cell of a Markdown table."""
    first = " ".join((text or "").split("\n\n")[0].split())
    plain = re.sub(r":\w+:`~?(?:[\w.]+\.)?([\w]+)`", r"`\1`", first.replace("``", "`"))
    return plain.replace("|", "\\|")


def equations_page(index: dict[str, list[Mention]]) -> str:
    """The index as Markdown: each equation, its meaning and where it is implemented."""
    order = [*EQUATIONS, *sorted(index.keys() - EQUATIONS.keys())]
    parts = [_equation(equation, index.get(equation, [])) for equation in order]
    text = (
        "Generated from the docstrings that cite an equation of LSN "
        "([arXiv 2502.01972](https://arxiv.org/abs/2502.01972)). Names with a leading underscore are private "
        "functions of a module."
    )
    return "\n\n".join(["# Equations", text, *parts]) + "\n"


def _equation(equation: str, found: list[Mention]) -> str:
    title = f"## {equation}\n\n{EQUATIONS.get(equation, '')}"
    if not found:
        return f"{title}\n\nNot implemented."
    rows = "\n".join(f"| {_named(mention)} | {mention.summary} |" for mention in found)
    return f"{title}\n\n| name | description |\n|---|---|\n{rows}"


def _named(mention: Mention) -> str:
    full = f"{mention.module}.{mention.name}".rstrip(".")
    if full in public_rooms(ROOT):
        return f"`{full}`"
    return f"`{public_name(full) or full}`"
