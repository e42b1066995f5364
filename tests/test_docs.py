"""The documentation against the code: links, commands, make targets, dependencies, the import table."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from features.describing import catalogue_in_words, contract_in_words
from features.settings import PortfolioSettings
from recoup import VERBS, command_line
from serving.guard.metrics import figures_in_words
from tests.test_imports import RULES

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
DEPENDENCIES = ROOT / "docs/decisions/0002-dependencies.md"


@dataclass(frozen=True)
class Call:
    """One call of `recoup` as a page shows it."""

    page: str
    verb: str
    words: list[str]
    flags: frozenset[str]


def code_on(page: Path) -> list[str]:
    """The lines of code a page shows: fenced blocks, continued lines joined, and spans between backticks."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", without_blocks(text))


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def calls_on(page: Path) -> list[Call]:
    found = (re.match(r"^\s*(?:\$ )?(?:\.venv/bin/)?recoup ([a-z][a-z-]*)(.*)", line) for line in code_on(page))
    return [
        Call(
            str(page.relative_to(ROOT)), match[1], match[2].split(),
            frozenset(re.findall(r"(?<!\S)\[?(--[a-z-]+)", match[2])),
        )
        for match in found
        if match
    ]  # fmt: skip


def flags_of(verb: str, words: list[str]) -> set[str]:
    """The flags of a verb; of a verb of several commands, those of the one that the first of the words names."""
    context = click.Context(click.Command("recoup"))
    command = command_line().get_command(context, verb)
    if isinstance(command, click.Group) and words:
        assert words[0] in command.commands, f"recoup {verb} {words[0]}: there is no such command"
        command = command.commands[words[0]]
    assert command is not None
    names = (name for parameter in command.get_params(context) for name in parameter.opts)
    others = (name for parameter in command.get_params(context) for name in parameter.secondary_opts)
    return {"--help", *names, *others}


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+?) *$", without_blocks(page.read_text("utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table_rows(page: Path) -> list[list[str]]:
    """The rows of every table on a page, cell by cell, headings left out."""
    lines = [line for line in page.read_text("utf-8").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = {number for number, row in enumerate(rows) if set("".join(row)) <= set("-: ")}
    return [row for number, row in enumerate(rows) if not {number, number + 1} & rules]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", without_blocks(page.read_text("utf-8")))
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{target} leads nowhere"
        assert not anchor or anchor in anchors_of(file), f"{target}: no heading gives this anchor"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_recoup_call_is_one_that_works(page: Path) -> None:
    for call in calls_on(page):
        assert call.verb in VERBS, f"recoup {call.verb}: there is no such verb"
        flags = flags_of(call.verb, call.words)
        assert call.flags <= flags, f"recoup {call.verb} has no {call.flags - flags}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    benchmarks = {f"bench-{file.stem}" for file in (ROOT / "experiments/benchmarks").glob("[a-z]*.py")}
    shown = {match[1] for line in code_on(page) if (match := re.match(r"^\s*(?:\$ )?make ([a-z][\w-]*)", line))}
    assert shown <= targets | benchmarks


def test_every_dependency_has_its_reason_and_every_reason_its_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = [name for names in project["project"]["optional-dependencies"].values() for name in names]
    wanted = [*project["project"]["dependencies"], *extras, *project["dependency-groups"]["dev"]]
    names = [re.split(r"[\[<>=!~; ]", requirement)[0] for requirement in wanted]
    rows = table_rows(DEPENDENCIES)
    assert [row[0].strip("`") for row in rows] == names
    assert all(row[1] for row in rows), "each dependency says what it is for"


def test_the_import_table_is_the_one_that_is_enforced() -> None:
    rows = table_rows(ROOT / "docs/architecture.md")
    documented = {row[0].strip("`/"): row[2] for row in rows if len(row) == 3}
    enforced = {rule.importer: ", ".join(f"`{name}`" for name in rule.allowed) or "nothing of ours" for rule in RULES}
    assert documented == enforced | {"tests": "anything"}


def test_the_contract_page_is_what_the_code_goes_by() -> None:
    page = (ROOT / "docs" / "data-contract.md").read_text("utf-8")
    assert contract_in_words() in page, "put what `python -m features.describing` prints under its heading Tables"


def test_the_feature_page_is_what_the_command_prints() -> None:
    page = (ROOT / "docs" / "features.md").read_text("utf-8")
    assert catalogue_in_words(PortfolioSettings("portfolio")) in page, (
        "put there what `recoup features --describe` prints"
    )


def test_the_operations_page_has_the_figures_that_there_are() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert figures_in_words() in page, "put there what `serving.guard.metrics.figures_in_words` gives"
