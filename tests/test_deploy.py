"""The files by which the service is deployed, the Bento's, the image's and the compose file, without an engine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import recoup
from serving.commands import serve

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "deploy/compose.yaml"
CONTAINERFILE = ROOT / "deploy/Containerfile"
BENTOFILE = ROOT / "bentofile.yaml"
INSTRUCTIONS = {
    *("FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL"),
    *("ENTRYPOINT", "CMD"),
}
PACKED = ("recoup.py", "features", "training", "serving", "experiments", "requirements.lock")


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return loaded


def instructions() -> list[tuple[str, str]]:
    """The image's instructions with what follows them, continued lines joined."""
    lines = [line for line in CONTAINERFILE.read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines)).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined if line.strip())]


def words_of(text: str) -> list[str]:
    loaded: list[str] = yaml.safe_load(text)
    return loaded


def assert_serve_takes(words: list[str]) -> None:
    """The words after `recoup` are a call of `recoup serve` with flags that it has."""
    assert words[0] == "serve"
    flags = {flag for parameter in serve.params for flag in parameter.opts}
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given
    assert given <= flags


def test_the_image_is_made_by_known_instructions_of_files_that_are_there() -> None:
    made = instructions()
    assert {word for word, _ in made} <= INSTRUCTIONS
    sources = [
        source
        for word, rest in made
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    ]
    assert set(PACKED) <= {source.removeprefix("./") for source in sources}
    assert all((ROOT / source).exists() for source in sources)
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert all(f"!{source}" in ignored for source in sources), "what is copied is sent to the engine"


def test_the_image_is_pinned_hashed_watched_and_without_root() -> None:
    made = instructions()
    last = dict(made)
    assert all(re.fullmatch(r"python:3\.11-slim( AS \w+)?", rest) for word, rest in made if word == "FROM")
    installs = [rest for word, rest in made if word == "RUN" and "requirements.lock" in rest]
    assert all(rest.count("--require-hashes") == rest.count("pip install") for rest in installs)
    assert installs
    assert last["USER"] not in {"root", "0"}
    assert "/livez" in last["HEALTHCHECK"]
    assert not re.search(r"(password|secret|token)\S*=", CONTAINERFILE.read_text("utf-8"), re.IGNORECASE)


def test_the_image_and_the_compose_file_call_serve_with_flags_it_has() -> None:
    last = dict(instructions())
    assert words_of(last["ENTRYPOINT"]) == ["recoup"]
    assert_serve_takes(words_of(last["CMD"]))
    assert_serve_takes(compose()["services"]["recoup"]["command"])


def test_every_variable_is_required_or_has_a_default_and_no_password_is_written_down() -> None:
    text = COMPOSE.read_text("utf-8")
    variables = re.findall(r"\$+\{([^}]*)\}", text)
    assert len(variables) == len(re.findall(r"(?<!\$)\$(?!\$)", text)), "a bare $NAME is empty where nobody sets it"
    assert variables
    assert all(re.fullmatch(r"[A-Z_]+(:\?|:-).+", variable) for variable in variables)
    for service in compose()["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name:
                assert value.startswith("${POSTGRES_PASSWORD:?")
            if found := re.search(r"://[^:/@]+:(.*)@", str(value)):
                assert found[1].startswith("${POSTGRES_PASSWORD:?")


def test_services_are_pinned_watched_and_keep_what_they_hold() -> None:
    loaded = compose()
    kept = set(loaded["volumes"])
    for name, service in loaded["services"].items():
        tag = service["image"].rpartition(":")[2]
        assert re.search(r"\d", tag), f"{name} is pinned by a tag"
        assert "latest" not in tag
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= kept
        assert name == "recoup" or "healthcheck" in service, "recoup's is in its image"
        assert set(service.get("depends_on", ())) <= set(loaded["services"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), "open to this machine alone"
    built = loaded["services"]["recoup"]["build"]
    assert (COMPOSE.parent / built["context"] / built["dockerfile"]).samefile(CONTAINERFILE)


def test_compose_itself_finds_no_fault() -> None:
    command = ["docker", "compose"]
    try:
        there = subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        there = False
    if not there:
        pytest.skip("no docker compose here")
    result = subprocess.run(
        [*command, "--file", str(COMPOSE), "config", "--quiet"],
        capture_output=True, text=True, check=False, env={"POSTGRES_PASSWORD": "x", "PATH": "/usr/bin:/usr/local/bin"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


def test_the_bento_holds_the_service_with_what_it_needs() -> None:
    loaded = yaml.safe_load(BENTOFILE.read_text("utf-8"))
    included = {pattern.strip("/") for pattern in loaded["include"]}
    assert set(PACKED) <= included
    assert all((ROOT / name).exists() for name in included)
    assert loaded["python"] == {"requirements_txt": "requirements.lock", "lock_packages": False}
    assert {one["name"]: one["value"] for one in loaded["envs"]} == recoup.LIBRARY_DEFAULTS
    module, _, attribute = loaded["service"].partition(":")
    assert f"class {attribute}:" in (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
