"""What the watcher notes of the registry: a real one, whose history grows, goes away and comes back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from features.errors import SettingsError
from serving.models import seen as module
from serving.models.pointer import POINTER
from serving.models.seen import SEEN, Notes, Seen, pages_url, read_seen
from serving.models.watcher import Followed, Watcher
from tests.serving.models.conftest import DAMAGED, UNFIT, Registry
from tests.serving.models.test_watcher import bring_back, hide
from tests.serving.small import AS_OF
from training import registered
from training.promotions import Author, Check, Evidence
from training.registry import CHALLENGER, CHAMPION, client_for, find_version, promote, refuse, roll_back

CHECKS = (Check("AUC no worse", True, "+0.01", "-0.02 at least"), Check("calibration error", False, "0.08", "0.03"))


@dataclass
class Service:
    """A service's watcher, and the file that its pages read; `now` is its clock."""

    watcher: Watcher
    path: Path
    now: list[int] = field(default_factory=lambda: [AS_OF])

    def look(self) -> Seen:
        """Look once, a minute later."""
        self.now[0] += 60_000_000
        self.watcher.look()
        return self.seen()

    def seen(self) -> Seen:
        found = read_seen(self.path)
        assert found is not None
        return found


Start = Callable[[], Service]


@pytest.fixture
def start(registry: Registry, tmp_path: Path) -> Start:
    def started() -> Service:
        folder = tmp_path / "serving"
        path, now = folder / "3000" / SEEN, [AS_OF]
        notes = Notes(registry.uri, path, lambda: now[0], "https://mlflow.example")
        watcher = Watcher(
            Followed(registry.uri, None, CHAMPION), folder, path.with_name(POINTER), lambda _: None, notes.look
        )
        watcher.start()
        return Service(watcher, path, now)

    return started


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The numbers of the versions whose files were fetched."""
    numbers: list[str] = []
    read = registered.read_facts

    def counted(client: object, version: registered.Registered) -> registered.Facts:
        numbers.append(version.number)
        return read(client, version)  # type: ignore[arg-type]

    monkeypatch.setattr(registered, "read_facts", counted)
    return numbers


@pytest.fixture
def at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """No minute is waited for."""
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0.0)


def move(registry: Registry, number: str, by: str, at: int = AS_OF) -> None:
    version, champion = find_version(f"small/{number}", registry.uri), find_version("small@champion", registry.uri)
    promote(version, champion, Evidence("a run", CHECKS[:1]), Author(by, at), registry.uri)


def test_versions_are_noted_with_what_their_files_say(start: Start) -> None:
    seen = start().seen()
    assert seen.at == AS_OF
    assert [version.number for version in seen.registry.versions] == ["5", "4", "3", "2", "1"]
    first = seen.registry.versions[-1]
    assert (first.aliases, seen.registry.champion) == (("champion",), first)
    assert first.facts is not None
    assert (first.facts.card, first.facts.limits) == ("# Model 1\n\n## Known limits\n\n- Few.\n", ("Few.",))
    assert (first.facts.horizon_days, first.facts.trouble) == (30, "")
    assert seen.run_address(first.run_id, first.facts.experiment).endswith(f"/runs/{first.run_id}")


def test_promotions_twice_a_way_back_and_a_refusal(registry: Registry, start: Start) -> None:
    service = start()
    assert service.seen().registry.promotions == ()
    move(registry, "2", "ann", AS_OF)
    move(registry, "3", "bo", AS_OF + 1_000_000)
    roll_back("small", Author("cy", AS_OF + 2_000_000), registry.uri)
    version, champion = (find_version(f"small/{number}", registry.uri) for number in (UNFIT, "2"))
    refuse(version, champion, Evidence("another", CHECKS), Author("di", AS_OF + 3_000_000), registry.uri)
    found = service.look().registry
    assert [(one.kind, one.before, one.after, one.by, one.came_about) for one in found.promotions] == [
        ("refused", "2", "5", "di", False),
        ("rolled_back", "3", "2", "cy", True),
        ("promoted", "2", "3", "bo", True),
        ("promoted", "1", "2", "ann", True),
    ]
    assert [one.at - AS_OF for one in found.promotions] == [3_000_000, 2_000_000, 1_000_000, 0]
    assert (found.promotions[0].checks, found.promotions[0].comparison) == (CHECKS, "another")
    assert found.champion is not None
    assert found.champion.number == "2"


@pytest.mark.usefixtures("at_every_look")
def test_files_are_fetched_once(registry: Registry, start: Start, fetched: list[str]) -> None:
    service = start()
    assert sorted(fetched) == ["1", "2", "3", "4", "5"]
    registry.set_alias(CHALLENGER, "3")
    assert service.look().registry.versions[2].aliases == (CHALLENGER,)
    start().look()
    assert len(fetched) == 5, "nor by the service that is started next"


@pytest.mark.usefixtures("at_every_look")
def test_many_versions_are_fetched_a_few_at_each_look(
    start: Start, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_VERSIONS", 2)
    service = start()
    assert fetched == ["5", "4"]
    assert [one.facts is None for one in service.seen().registry.versions] == [False, False, True, True, True]
    for _ in range(3):
        service.look()
    assert fetched == ["5", "4", "3", "2", "1"]


def test_nothing_is_asked_where_nothing_changed(
    registry: Registry, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, asked = start(), list[str]()
    read = registered.read_registry
    monkeypatch.setattr(module, "read_registry", lambda *arguments: asked.append("") or read(*arguments))  # type: ignore[func-returns-value]
    for _ in range(3):
        assert service.look().at == AS_OF
    assert asked == []
    move(registry, "2", "ann")
    assert service.look().at > AS_OF
    assert len(asked) == 1


@pytest.mark.usefixtures("at_every_look")
def test_while_mlflow_is_away_the_last_one_stays_with_its_moment(registry: Registry, start: Start) -> None:
    service = start()
    before = service.look()
    hide(registry)
    for _ in range(3):
        assert service.look() == before
    bring_back(registry)
    assert service.look().at > before.at


@pytest.mark.usefixtures("at_every_look")
def test_a_file_that_cannot_be_written_stops_nothing(
    registry: Registry, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service = start()

    def full(*_: object) -> None:
        raise SettingsError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_seen", full)
        move(registry, "2", "ann")
        for _ in range(3):
            service.look()
    assert [record.getMessage() for record in caplog.records].count(
        "the page of models is not brought up to date: no room"
    ) == 1
    assert service.watcher.start().champion.label == "small/2"
    assert service.look().registry.promotions[0].by == "ann"


def test_a_version_whose_files_are_not_what_was_registered_is_told(registry: Registry, start: Start) -> None:
    client_for(registry.uri).set_model_version_tag("small", DAMAGED, "bundle_sha256", "0" * 64)
    version = start().seen().registry.version(DAMAGED)
    assert version is not None
    assert version.facts is not None
    assert version.facts.trouble == "its manifest is not the one that was registered"
    assert (version.facts.holdout, version.facts.limits) == ({}, ("Few.",))


def test_a_long_word_is_cut_rather_than_refused(registry: Registry, start: Start) -> None:
    check = Check("features available", False, "x" * 100_000, "y" * 9_000)
    one, other = (find_version(f"small/{number}", registry.uri) for number in "12")
    refuse(other, one, Evidence("a run", (check,) * 30), Author("z" * 9_000, AS_OF), registry.uri)
    (kept,) = start().seen().registry.promotions
    assert len(kept.checks) == 30
    assert {len(text) for text in (kept.by, kept.checks[0].found, kept.checks[0].needed)} == {2_000}


def test_a_move_that_was_broken_off_came_about_where_the_alias_had_moved(
    registry: Registry, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for method, number in (("set_registered_model_alias", "3"), ("delete_registered_model_alias", "2")):
        registry.set_alias(CHALLENGER, number)
        with monkeypatch.context() as patch:
            patch.setattr(f"mlflow.MlflowClient.{method}", stop)
            with pytest.raises(KeyboardInterrupt):
                move(registry, number, "ann", AS_OF + int(number == "2") * 1_000)
    assert [(one.after, one.came_about) for one in start().seen().registry.promotions] == [("2", True), ("3", False)]


def test_what_is_no_such_file_is_nothing(tmp_path: Path) -> None:
    (tmp_path / SEEN).write_text('{"at": "never"}')
    assert read_seen(tmp_path / SEEN) is None
    assert read_seen(tmp_path / "nowhere") is None


@pytest.mark.parametrize("url", ["javascript:alert(1)", "mlflow.example", "https://", "file:///etc"])
def test_only_an_address_of_the_web_is_one_of_mlflows_pages(url: str) -> None:
    with pytest.raises(SettingsError, match="are at an address like"):
        pages_url(url, "")
    assert pages_url(None, url) == ""


def test_a_password_of_the_tracking_server_is_on_no_page() -> None:
    assert pages_url("https://a:b@c.example/x/?token=d#e", "") == "https://c.example/x"
