"""The house rules that imports show: who may import whom, no cycles, no clock below the entry points.

All of it is read from the source with `ast`; nothing is imported.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("features", "training", "serving", "experiments")


@dataclass(frozen=True)
class Rule:
    """What one importer may import of ours."""

    importer: str
    allowed: tuple[str, ...]
    reason: str


#: The table of docs/architecture.md. A name allows itself and everything below it.
RULES = (
    Rule("features", (), "what is known about an account needs no model, no service and no experiment"),
    Rule("training", ("features",), "a bundle is made from histories alone"),
    Rule(
        "serving",
        ("features", "training.bundle", "training.promotions", "training.registered", "training.registry"),
        "a score needs a bundle and where to find it, and a page what the registry says of it; not the fitting",
    ),
    Rule("experiments", ("features", "training", "serving"), "data scientists combine everything"),
    Rule("recoup.py", (), "it names rooms as strings, so that `recoup --help` imports none"),
)

#: Libraries that one room alone imports, with the reason.
ONE_ROOM = {
    "mlflow": ("training", "tracking and the registry are one module's business; scoring must not need them"),
    "bentoml": ("serving", "the service is a shell around functions that know nothing of it"),
}

#: The entry points: where the clock and the environment are read, and turned into arguments.
ENTRY_FILES = ("recoup.py", "*/commands.py", "*/*_commands.py", "serving/service.py", "experiments/benchmarks/*.py")
#: The one module that reads them; entry points alone import it.
ENVIRONMENT = "features.environment"

#: The wall clock, the environment, global random numbers. A monotonic clock measures durations only.
OUTSIDE_STATE = {
    *("time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "time.strftime"),
    *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
    "datetime.date.today",
    *(f"pandas.Timestamp.{name}" for name in ("now", "utcnow", "today")),
    *("os.environ", "os.environb", "os.getenv", "os.putenv"),
    *("random.random", "random.seed", "random.choice", "random.randint", "random.shuffle", "random.sample"),
    "numpy.random.seed",
}


@dataclass(frozen=True)
class Module:
    """One source file of ours."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        """The top-level name."""
        return self.name.partition(".")[0]


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Module]:
    files = [ROOT / "recoup.py", *(file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py")))]
    paths = [file.relative_to(ROOT) for file in files]
    return {
        module_name(path): Module(module_name(path), path, ast.parse((ROOT / path).read_text("utf-8")))
        for path in paths
    }


def imported_names(tree: ast.Module) -> Iterator[str]:
    """Every dotted name that is imported, local imports included; `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(module: Module) -> set[str]:
    """The modules of ours that a module imports: the longest prefix of each name that is one."""
    found = set()
    for name in imported_names(module.tree):
        parts = name.split(".")
        prefixes = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
        found |= {next((prefix for prefix in prefixes if prefix in modules()), module.name)}
    return found - {module.name}


def is_below(name: str, top: str) -> bool:
    return name == top or name.startswith(f"{top}.")


def is_entry(module: Module) -> bool:
    return any(module.path.match(pattern) for pattern in ENTRY_FILES)


def outside_state(tree: ast.Module) -> set[str]:
    """The names of `OUTSIDE_STATE` that a module reads, whatever it calls them."""
    meaning: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            tops = {alias.name.partition(".")[0] for alias in node.names if not alias.asname}
            meaning |= {top: top for top in tops} | {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom):
            meaning |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    read = (dotted(node).partition(".") for node in ast.walk(tree) if isinstance(node, ast.expr))
    return {f"{meaning.get(head, '')}{dot}{rest}" for head, dot, rest in read} & OUTSIDE_STATE


def dotted(node: ast.expr) -> str:
    """`a.b.c` for an expression that is just that, an empty text for another."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.importer)
def test_a_room_imports_only_what_the_table_allows(rule: Rule) -> None:
    wrong = [
        f"{module.path} imports {name}"
        for module in modules().values()
        if module.room == rule.importer.removesuffix(".py")
        for name in sorted(imported_names(module.tree))
        if name.partition(".")[0] in {*ROOMS, "recoup", "tests"} - {module.room}
        and not any(is_below(name, allowed) for allowed in rule.allowed)
    ]
    assert not wrong, f"{rule.importer} may import {rule.allowed or 'nothing of ours'}: {rule.reason}"


def test_every_room_has_a_rule() -> None:
    assert {rule.importer for rule in RULES} == {*ROOMS, "recoup.py"}


@pytest.mark.parametrize("library", ONE_ROOM)
def test_a_library_of_one_room_is_imported_there_alone(library: str) -> None:
    room, reason = ONE_ROOM[library]
    wrong = [
        str(module.path)
        for module in modules().values()
        if module.room != room and any(is_below(name, library) for name in imported_names(module.tree))
    ]
    assert not wrong, f"{library} is imported in {room}/ alone: {reason}"


def test_no_module_imports_itself_through_others() -> None:
    graph = {module.name: imported_modules(module) for module in modules().values()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"an import cycle: {' <- '.join(error.args[1])}")


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(module.path) for module in modules().values() if not ast.get_docstring(module.tree)]
    assert not silent, "the first line of a file says what the file is for"


def test_only_entry_points_read_clock_and_environment() -> None:
    below = [module for module in modules().values() if not is_entry(module) and module.name != ENVIRONMENT]
    reads = {str(module.path): state for module in below if (state := outside_state(module.tree))}
    asks = [str(module.path) for module in below if ENVIRONMENT in imported_modules(module)]
    assert (reads, asks) == ({}, []), "a moment and a setting are arguments below the entry points"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from datetime import datetime as d\nd.now()", {"datetime.datetime.now"}),
        ("import datetime as dt\nx = dt.datetime.now", {"datetime.datetime.now"}),
        ("import os.path\nos.environ['A']", {"os.environ"}),
        ("from time import time\ntime()", {"time.time"}),
        ("import pandas as pd\npd.Timestamp.now()", {"pandas.Timestamp.now"}),
        ("import time\ntime.perf_counter()", set()),
        ("from numpy.random import default_rng\nrandom = default_rng(1)\nrandom.random()", set()),
    ],
)
def test_the_clock_is_seen_under_any_name(source: str, expected: set[str]) -> None:
    assert outside_state(ast.parse(source)) == expected
