"""`recoup keys` as a person calls it, on SQLite and on PostgreSQL: a secret is shown once and kept nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sql
from click.testing import CliRunner, Result

from features import environment
from features.errors import StoreError
from features.units import DAY, HOUR
from serving.guard.commands import keys
from serving.guard.keys import Key, KeyRefusedError, Scope, keys_of
from serving.store.database import open_store
from serving.store.keys import api_keys, read_keys


def call(url: str, *arguments: str) -> Result:
    """What a call prints; the store is named in the environment, as for the service."""
    result = CliRunner(env={"RECOUP_STORE": url}).invoke(keys, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def kept(url: str) -> list[Key]:
    store = open_store(url, migrate=False)
    found = read_keys(store)
    store.close()
    return found


def stored(url: str) -> str:
    """Everything in the table of keys, as text."""
    store = open_store(url, migrate=False)
    with store.reading() as connection:
        rows = repr([tuple(row) for row in connection.execute(sql.select(api_keys))])
    store.close()
    return rows


def create(url: str, *scopes: str) -> str:
    result = call(url, "create", "dialler", *(word for scope in scopes for word in ("--scope", scope)))
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


@pytest.mark.parametrize("scope", [*Scope])
def test_a_key_is_made_for_each_scope_by_its_name(tmp_path: Path, scope: Scope) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    token = create(url, scope.value)
    assert keys_of(kept(url)).holder(token, environment.now()).scopes == {scope}


def test_a_secret_is_shown_once_and_not_kept(store_url: str) -> None:
    result = call(store_url, "create", "dialler", "--scope", "score", "--scope", "review")
    token = result.stdout.strip()
    secret = token.split("_", 2)[2]
    # The key alone is on stdout, so that it can be handed on; the word about it is on stderr.
    assert result.stdout == f"{token}\n"
    assert "shown this once" in result.stderr
    assert secret not in result.stderr
    listed = call(store_url, "list").output
    assert "dialler" in listed
    assert "score review" in listed
    assert secret not in listed
    assert secret not in stored(store_url)
    found = keys_of(kept(store_url)).holder(token, environment.now())
    assert (found.name, found.scopes, found.expires_at) == ("dialler", frozenset({Scope.SCORE, Scope.REVIEW}), None)


def test_a_rotation_gives_another_key_like_it_and_ends_the_old_one(store_url: str) -> None:
    old = create(store_url, "events")
    result = call(store_url, "rotate", "1", "--overlap-hours", "2")
    new, now = result.stdout.strip(), environment.now()
    assert "ends in 2 hours" in result.stderr
    assert new.split("_", 2)[2] not in stored(store_url)
    found = keys_of(kept(store_url))
    assert found.holder(old, now).scopes == found.holder(new, now).scopes == {Scope.EVENTS}
    assert found.holder(new, now + 2 * HOUR).number == 2
    with pytest.raises(KeyRefusedError, match="expired"):
        found.holder(old, now + 2 * HOUR)


def test_a_revoked_key_opens_nothing_and_stays_on_the_list(store_url: str) -> None:
    token = create(store_url, "admin")
    assert "within 4 seconds" in call(store_url, "revoke", "1").stderr
    with pytest.raises(KeyRefusedError, match="revoked"):
        keys_of(kept(store_url)).holder(token, environment.now())
    assert "revoked" in call(store_url, "list").output
    with pytest.raises(StoreError, match="must be in use"):
        call(store_url, "rotate", "1")


def test_a_key_can_be_made_to_expire(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    call(url, "create", "trial", "--scope", "score", "--days", "7")
    (key,) = kept(url)
    assert key.expires_at == key.created_at + 7 * DAY


def test_what_there_is_not_is_said(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    wrong = call(url, "create", "dialler", "--scope", "everything")
    assert wrong.exit_code == 2
    assert "'score', 'events', 'review', 'admin'" in wrong.output
    for verb in ("rotate", "revoke"):
        with pytest.raises(StoreError, match="there is no key 9"):
            call(url, verb, "9")
