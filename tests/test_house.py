"""The sizes of the house: no long file, no long function, no long list of parameters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE, SCRIPTS, TESTS = ROOT / "bundle", ROOT / "scripts", ROOT / "tests"
FILE, FUNCTION, PARAMETERS = 350, 40, 10

RECORD = "a record with a field for each thing that is written down"
SETTINGS = "settings of a method, each with a default, given by name"

MANY_PARAMETERS = {
    "datasets/sources.py:Source": RECORD,
    "datasets/specifications.py:DataPlan": "the options of a data set, given by name",
    "datasets/specifications.py:SampleSpecification": RECORD,
    "experiments/runs.py:Downstream": "the options of an experiment, given by name",
    "experiments/report.py:Experiment": "the options of an experiment, given by name",
    "io/joints.py:joint_items": "the options of a list of joints, given by name",
    "networks/transunet.py:TransUNet.__init__": "the widths of a published network, each with a default",
    "phantoms/parameters.py:LowerBone": RECORD,
    "phantoms/parameters.py:PhantomParameters": RECORD,
    "phantoms/parameters.py:SoftTissue": RECORD,
    "phantoms/parameters.py:UpperBone": RECORD,
    "registration/gauss_newton.py:BoneRegistration": SETTINGS,
    "reading_room/rows.py:JointRow": RECORD,
    "registration/phase_correlation.py:PhaseCorrelation": SETTINGS,
}
"""Why a constructor or a function may have more parameters than others."""


def functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """All functions with the names of the classes and functions around them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield inside + node.name, node
        named = inside + f"{node.name}." if isinstance(node, ast.ClassDef | ast.FunctionDef) else inside
        yield from functions(node, named)


def lines(function: ast.FunctionDef) -> int:
    """Of a function without its docstring."""
    first = function.body[0]
    told = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    spoken = (first.end_lineno or 0) - first.lineno + 1 if told else 0
    return (function.end_lineno or 0) - function.lineno + 1 - spoken


def parameters(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """How many parameters functions have, and constructors of data classes; ``self`` does not count."""
    for name, function in functions(tree):
        given = function.args
        names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
        yield name, len(names) - (names[:1] in (["self"], ["cls"]))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(each) for each in node.decorator_list):
            fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
            yield node.name, sum("ClassVar" not in ast.unparse(part.annotation) for part in fields)


def too_many(sources: dict[str, str]) -> dict[str, int]:
    """Functions and constructors with more parameters than there may be."""
    counted = {
        f"{file}:{name}": count for file, source in sources.items() for name, count in parameters(ast.parse(source))
    }
    return {name: count for name, count in counted.items() if count > PARAMETERS}


def too_long(sources: dict[str, str]) -> dict[str, int]:
    """Functions with more lines than there may be."""
    counted = {
        f"{file}:{name}": lines(each) for file, source in sources.items() for name, each in functions(ast.parse(source))
    }
    return {name: count for name, count in counted.items() if count > FUNCTION}


def sources(folder: Path = PACKAGE) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*.py"))}


def long_files(folder: Path) -> set[str]:
    """Files with more lines than there may be."""
    return {name for name, source in sources(folder).items() if source.count("\n") > FILE}


@pytest.mark.parametrize("folder", [PACKAGE, SCRIPTS, TESTS], ids=lambda folder: folder.name)
def test_no_file_is_long(folder: Path) -> None:
    assert sources(folder) and long_files(folder) == set()


def test_a_planted_long_file_is_found(tmp_path: Path) -> None:
    for name, count in (("fits", FILE), ("long", FILE + 1)):
        (tmp_path / "part").mkdir(exist_ok=True)
        (tmp_path / "part" / f"{name}.py").write_text("pass\n" * count)
    assert long_files(tmp_path) == {"part/long.py"}


@pytest.mark.slow
def test_no_function_is_long() -> None:
    assert too_long(sources()) == {}


@pytest.mark.slow
def test_no_function_or_constructor_has_many_parameters_without_a_reason() -> None:
    found = too_many(sources())
    assert set(found) - set(MANY_PARAMETERS) == set()


@pytest.mark.slow
def test_no_reason_stands_for_what_is_no_longer_there() -> None:
    assert set(MANY_PARAMETERS) - set(too_many(sources())) == set()


@pytest.mark.parametrize(
    "source",
    [
        "def planted(a, b, c, d, e, f, *, g, h, i, j, k): ...",
        "class Planted:\n    def __init__(self, a, b, c, d, e, f, g, h, i, j, k): ...",
        "@dataclass(frozen=True)\nclass Planted:\n" + "".join(f"    field{n}: int = 0\n" for n in range(11)),
    ],
)
def test_a_planted_parameter_too_many_is_found(source: str) -> None:
    assert list(too_many({"x.py": source}).values()) == [11]
    assert not too_many({"x.py": source.replace(", k", "").replace("    field10: int = 0\n", "")})


def test_a_planted_line_too_many_is_found_and_a_docstring_does_not_count() -> None:
    planted = 'def planted():\n    """Say.\n\n    More.\n    """\n' + "    pass\n" * 39
    assert too_long({"x.py": planted}) == {}
    assert too_long({"x.py": planted + "    pass\n"}) == {"x.py:planted": 41}


def test_every_file_and_name_on_the_page_of_the_code_exists() -> None:
    page = (ROOT / "docs" / "reference" / "code.md").read_text(encoding="utf-8")
    files = re.findall(r"`((?:bundle|configs|scripts)/[\w./]+)`", page)
    assert len(files) > 20 and [file for file in files if not (ROOT / file).exists()] == []
    names = re.findall(r"`(bundle(?:\.\w+)+)`", page)
    assert len(names) > 15 and all(resolve_name(name) for name in names)
