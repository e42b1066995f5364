"""The `recoup` group itself: the table of verbs, what is imported when, and how a run ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import types
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import recoup
from features.errors import HistoryError
from recoup import VERBS, Verb, command_line, main, run_group

#: Slow to import: an entry point imports them inside the functions that use them.
HEAVY = ("lightgbm", "mlflow", "bentoml", "matplotlib", "sklearn", "optuna")
ROOMS = ("features", "training", "serving", "experiments")

RunVerb = Callable[[Callable[[], object]], int]


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in recoup.LIBRARY_DEFAULTS}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=kept | environment
    )


@pytest.fixture
def run_verb(monkeypatch: pytest.MonkeyPatch) -> RunVerb:
    """Give a way to run a function as the verb `try` of a `recoup` of its own."""

    def run(function: Callable[[], object]) -> int:
        room = types.ModuleType("a_room")
        room.__dict__["verb"] = click.command()(function)
        monkeypatch.setitem(sys.modules, "a_room", room)
        return run_group(command_line({"try": Verb("a_room:verb", "Try.")}), ["try"])

    return run


# -------------------------------------------------------------------------------- the table


@pytest.mark.parametrize("name", VERBS)
def test_a_verb_is_a_command_with_the_help_of_its_row(name: str) -> None:
    command = command_line().get_command(click.Context(click.Command("recoup")), name)
    assert isinstance(command, click.Command)
    assert command.get_short_help_str(limit=200).rstrip(".") == VERBS[name].help.rstrip(".")


@pytest.mark.parametrize("name", VERBS)
def test_the_help_of_a_verb_imports_nothing_heavy(name: str) -> None:
    code = (
        f"import sys, recoup; code = recoup.main([{name!r}, '--help'])\n"
        f"assert code == 0; print('heavy:', *sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("heavy:\n")


def test_help_lists_every_verb_and_imports_no_room() -> None:
    code = (
        "import sys, recoup; code = recoup.main(['--help'])\n"
        "tops = {name.partition('.')[0] for name in sys.modules}\n"
        f"assert code == 0; print('rooms:', *sorted(tops & set({ROOMS!r})))"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("rooms:\n")
    listed = re.findall(r"^  ([a-z][a-z-]*)  ", result.stdout.partition("Commands:")[2], flags=re.MULTILINE)
    assert listed == list(VERBS)


def test_version_is_that_of_the_project(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    result = CliRunner().invoke(command_line(), ["--version"])
    assert result.output == f"recoup, version {project['version']}\n"


# -------------------------------------------------------------------------------- how a run ends


def test_a_run_that_did_its_work_gives_0_whatever_the_verb_returns(run_verb: RunVerb) -> None:
    def function() -> int:
        return 7

    assert run_verb(function) == 0


def test_an_exit_code_given_by_the_verb_is_kept(run_verb: RunVerb) -> None:
    def function() -> None:
        click.get_current_context().exit(3)

    assert run_verb(function) == 3


def test_what_the_user_can_mend_is_one_line_and_1(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    def function() -> None:
        raise HistoryError("too little history:\n  got 3 days")

    assert run_verb(function) == 1
    assert capsys.readouterr() == ("", "recoup: too little history: got 3 days\n")


def test_a_fault_is_one_line_and_70(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    def function() -> None:
        raise ZeroDivisionError("by zero")

    assert run_verb(function) == 70
    output, error = capsys.readouterr()
    assert output == ""
    assert error.startswith("recoup: internal error: ZeroDivisionError: by zero; ")
    assert error.count("\n") == 1
    assert "RECOUP_TRACEBACK=1" in error


def test_the_traceback_is_there_for_the_asking(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def function() -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setenv("RECOUP_TRACEBACK", "1")
    assert run_verb(function) == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_an_interruption_gives_130(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    def function() -> None:
        raise KeyboardInterrupt

    assert run_verb(function) == 130
    assert capsys.readouterr().err.strip() == "recoup: interrupted"


@pytest.mark.parametrize("arguments", [["no-such-verb"], ["--no-such-option"], []])
def test_a_wrong_call_gives_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    output, error = capsys.readouterr()
    assert output == ""
    assert "Usage: recoup" in error


def test_a_closed_pipe_is_quiet() -> None:
    code = "import sys, recoup; sys.exit(recoup.main(['--help']))"
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


# -------------------------------------------------------------------------------- the environment


def test_usage_reports_are_off_unless_the_user_set_them() -> None:
    code = (
        "import os, recoup; recoup.main(['--version'])\n"
        "print(os.environ['BENTOML_DO_NOT_TRACK'], os.environ['MLFLOW_DISABLE_TELEMETRY'])"
    )
    assert run_python(code).stdout.splitlines()[-1] == "True true"
    assert run_python(code, MLFLOW_DISABLE_TELEMETRY="false").stdout.splitlines()[-1] == "True false"


def test_an_option_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    @click.option("--port", type=int)
    def verb(port: int) -> None:
        click.echo(port)

    room = types.ModuleType("a_room")
    room.__dict__["verb"] = verb
    monkeypatch.setitem(sys.modules, "a_room", room)
    monkeypatch.setenv("RECOUP_SERVE_PORT", "4000")
    assert run_group(command_line({"serve": Verb("a_room:verb", "Serve.")}), ["serve"]) == 0
    assert capsys.readouterr().out == "4000\n"
