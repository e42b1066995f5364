"""The roll-up holds what the raw rows say, once, whatever interrupts it, whenever it is made."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sql
from alembic import command
from alembic.config import Config

from features.errors import StoreError
from features.units import DAY
from serving.review import rollup
from serving.review.reading import Reached, missing, reached
from serving.review.rollup import Pace, PaymentTerms, roll_up
from serving.store.database import MIGRATIONS, Store, upgrade
from serving.store.erasing import erase
from serving.store.ledger import ERASING, answers
from serving.store.rollups import observations
from tests.serving.review.rolled import (
    FIRST,
    NOW,
    SETTLING,
    assert_same_cells,
    filled,
    frames_of,
    observed,
    observed_again,
    relabelled,
    summed,
    write_scores,
)
from tests.serving.small import SETTINGS
from tests.serving.store.test_histories import send


def known_until(frames: dict[str, pd.DataFrame], now: int = NOW) -> int:
    known = []
    for name in ("payments", "contacts"):
        frame = frames[name]
        both = np.fmax(_micros(frame["at"]), _micros(frame["recorded_at"]))
        known.append(both[both <= now].max())
    return int(max(known)) + 1


def _micros(times: pd.Series[pd.Timestamp]) -> np.ndarray:
    return np.where(times.isna(), -np.inf, times.astype("int64") // (1000 if times.dt.unit == "ns" else 1))


def test_every_observation_is_what_the_raw_rows_say(store: Store) -> None:
    frames = filled(store)
    done = roll_up(store, SETTINGS, NOW)
    found, again = observed(store), observed_again(store, frames, known_until(frames))
    again = again.sort_values(["account_id", "month", "role"], ignore_index=True)
    assert done.observed == len(found) == len(again) > 0
    assert done.matured == int(again["matured"].sum()) > 0
    assert not again["matured"].all()
    for name in again:
        ours = [None if pd.isna(value) else value for value in found[name].tolist()]
        theirs = [None if pd.isna(value) else value for value in again[name].tolist()]
        assert ours == theirs, name


def test_an_outcome_is_the_same_whether_its_time_has_come_when_the_score_is_read_or_comes_later(store: Store) -> None:
    filled(store)
    assert roll_up(store, SETTINGS, FIRST).matured == 0
    assert roll_up(store, SETTINGS, NOW).matured > 0
    later = observed(store).drop(columns="observation_id")
    assert roll_up(store, SETTINGS, NOW, rebuild=True).matured == later["matured"].sum()
    pd.testing.assert_frame_equal(observed(store).drop(columns="observation_id"), later)


def test_of_an_account_that_an_answer_names_twice_the_first_score_counts(store: Store) -> None:
    frames = frames_of(3)
    send(store, frames)
    other, twice, third = frames["accounts"]["account_id"]
    write_scores(store, [other], range(1))
    write_scores(store, [third, other, twice, twice], range(1, 2))
    write_scores(store, [twice, third], range(2, 3))
    assert roll_up(store, SETTINGS, NOW, pace=Pace(4)).observed == 3
    found = observed(store).set_index("account_id").loc[[other, twice, third]]
    assert (found["answer_id"] - found["answer_id"].min()).tolist() == [0, 1, 1]
    assert found["position"].tolist() == [0, 2, 0]


def test_nothing_is_left_to_do_when_it_is_called_again(store: Store) -> None:
    filled(store)
    roll_up(store, SETTINGS, NOW)
    before = summed(store)
    assert roll_up(store, SETTINGS, NOW) == rollup.RolledUp(0, 0, 0, 0)
    assert_same_cells(summed(store), before)


def test_as_time_goes_by_it_comes_to_what_one_call_and_a_rebuild_give(store: Store) -> None:
    """Scores, rows of events and a late account come in between; some rows are of windows that have matured."""
    frames = frames_of(30)
    ids = frames["accounts"]["account_id"].tolist()
    newcomer = frames["accounts"]["account_id"] == ids[3]
    send(store, {"accounts": frames["accounts"][~newcomer]})
    for step in range(5):
        write_scores(store, ids, range(step * 24, step * 24 + 24, 6))
        send(store, {name: frame.iloc[step::5] for name, frame in frames.items() if name != "accounts"})
        roll_up(store, SETTINGS, FIRST + (step * 24 + 30) * DAY, pace=Pace(17))
        if step == 2:
            send(store, frames)
    roll_up(store, SETTINGS, NOW)
    bit_by_bit, rows = summed(store), observed(store)
    again = observed_again(store, frames, known_until(frames))
    assert len(again) == len(rows)
    assert again["paid"].sum() == rows["paid"].sum()
    roll_up(store, SETTINGS, NOW, rebuild=True)
    assert_same_cells(summed(store), bit_by_bit)


class Killed(BaseException):
    """What a kill is to the program: nothing catches it."""


def test_an_interruption_anywhere_loses_and_doubles_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(store, n_accounts=12, days=range(0, 156, 26))
    real, countdown = Store.writing, 0

    @contextmanager
    def dying(self: Store) -> Iterator[sql.Connection]:
        nonlocal countdown
        countdown -= 1
        with real(self) as connection:
            yield connection
            if not countdown:
                raise Killed  # before the commit: everything of this transaction is undone
        if countdown == -1:
            raise Killed  # just after another

    monkeypatch.setattr(Store, "writing", dying)
    killed = 0
    for after in range(1, 60):
        countdown = after % 9 + 1
        try:
            roll_up(store, SETTINGS, NOW, pace=Pace(23, 13))
        except Killed:
            killed += 1
    monkeypatch.undo()
    assert killed > 5
    roll_up(store, SETTINGS, NOW)
    found, rows = summed(store), observed(store)
    assert not rows.duplicated(["account_id", "month", "role"]).any()
    roll_up(store, SETTINGS, NOW, rebuild=True)
    assert_same_cells(summed(store), found)


def test_two_at_the_same_time_do_the_work_once(store: Store) -> None:
    frames = filled(store)
    with ThreadPoolExecutor(2) as pool:
        done = [each.result() for each in [pool.submit(roll_up, store, SETTINGS, NOW, pace=Pace(40)) for _ in range(2)]]
    again = observed_again(store, frames, known_until(frames))
    assert sum(each.observed for each in done) == len(again)
    assert sum(each.matured for each in done) == again["matured"].sum()
    found = summed(store)
    roll_up(store, SETTINGS, NOW, rebuild=True)
    assert_same_cells(summed(store), found)


def test_sums_are_not_kept_where_observations_changed_while_they_were_made(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody is erased between the reading and the writing, each time a month is summed, and it gives up waiting."""
    frames = filled(store)
    ids = frames["accounts"]["account_id"].tolist()
    real, calls = rollup._summed_anew, 0

    def disturbed(connection: sql.Connection, month: int) -> Any:
        nonlocal calls
        found, calls = real(connection, month), calls + 1
        # The last try holds the turn, and nobody else gets in.
        if calls % (rollup._TRIES + 1):
            erase(store, ids.pop(), NOW)
        return found

    monkeypatch.setattr(rollup, "_summed_anew", disturbed)
    roll_up(store, SETTINGS, NOW)
    monkeypatch.undo()
    # In PostgreSQL sums are made in one transaction, which whoever erases waits for.
    assert calls == (rollup._TRIES + 1) * len(set(observed(store)["month"])) if store.is_sqlite else not calls
    roll_up(store, SETTINGS, NOW)
    found = summed(store)
    roll_up(store, SETTINGS, NOW, rebuild=True)
    assert_same_cells(summed(store), found)


def test_it_is_known_when_it_last_came_to_its_end_and_whether_scores_wait(store: Store) -> None:
    assert reached(store) == Reached()
    frames = filled(store, n_accounts=12)
    ids = frames["accounts"]["account_id"].tolist()
    roll_up(store, SETTINGS, NOW - DAY)
    assert (reached(store).rolled_at, reached(store).is_behind) == (NOW - DAY, False)
    # Also where nothing is new.
    roll_up(store, SETTINGS, NOW)
    assert (reached(store).rolled_at, reached(store).is_behind) == (NOW, False)
    write_scores(store, ids, range(168, 169))
    assert (reached(store).rolled_at, reached(store).is_behind) == (NOW, True)
    roll_up(store, SETTINGS, NOW + DAY, rebuild=True)
    assert (reached(store).rolled_at, reached(store).is_behind) == (NOW + DAY, False)


def test_one_that_is_stopped_has_not_come_to_its_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = filled(store, n_accounts=12)
    roll_up(store, SETTINGS, NOW)
    write_scores(store, frames["accounts"]["account_id"].tolist(), range(168, 169))

    def stopped(store: Store) -> None:
        raise Killed

    monkeypatch.setattr(rollup, "_sum_up_collections", stopped)
    for rebuild in (False, True):
        with pytest.raises(Killed):
            roll_up(store, SETTINGS, NOW + DAY, rebuild=rebuild)
        assert reached(store).rolled_at == NOW
        # The scores were read, and are in no sum.
        assert reached(store).is_behind


def test_an_answer_does_not_wait_behind_a_roll_up_that_waits_for_another(store: Store) -> None:
    if store.is_sqlite:
        return  # there is one writer, who waits for nobody else's turn
    filled(store, n_accounts=3, days=range(2))
    roll_up(store, SETTINGS, NOW)
    waiting = sql.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    with ThreadPoolExecutor() as pool:
        with rollup._turn(store):
            other = pool.submit(rollup._ledger_end, store)
            with store.reading() as looking:
                looking.execution_options(isolation_level="AUTOCOMMIT")
                while not looking.execute(waiting).scalar_one():
                    assert not other.done()
            with store.writing() as answering:
                free = sql.text(f"SELECT pg_try_advisory_xact_lock_shared({ERASING})")
                assert answering.execute(free).scalar_one()
        assert other.result()


def test_another_that_ends_while_sums_are_made_does_not_have_them_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store, n_accounts=12)
    real, calls = rollup._summed_anew, 0

    def beside(connection: sql.Connection, month: int) -> Any:
        nonlocal calls
        found, calls = real(connection, month), calls + 1
        with store.writing() as other:
            rollup._advance(other, rolled_at=NOW - calls)
        return found

    monkeypatch.setattr(rollup, "_summed_anew", beside)
    roll_up(store, SETTINGS, NOW)
    assert calls == (len(set(observed(store)["month"])) if store.is_sqlite else 0)


def upgrade_from(store: Store, revision: str) -> None:
    """Take a store back to the tables of a revision, and bring it up to date again."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with store.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    upgrade(store.engine)


def test_an_upgrade_of_before_cures_finds_outcomes_anew(store: Store) -> None:
    frames = filled(store)
    roll_up(store, SETTINGS, NOW)
    erase(store, frames["accounts"]["account_id"].iloc[2], NOW)
    roll_up(store, SETTINGS, NOW)
    before = summed(store)
    assert before["cured"].sum() > before["self_cured"].sum() > 0
    upgrade_from(store, "0007")
    assert roll_up(store, SETTINGS, NOW).months > 0
    # Of who is erased nothing says when she was contacted.
    assert_same_cells(summed(store).assign(self_cured=0), before.assign(self_cured=0))


def test_an_upgrade_of_before_its_moment_was_kept_keeps_sums(store: Store) -> None:
    filled(store, n_accounts=12)
    roll_up(store, SETTINGS, NOW)
    before = summed(store)
    upgrade_from(store, "0010")
    assert reached(store).rolled_at is None
    assert_same_cells(summed(store), before)
    assert roll_up(store, SETTINGS, NOW) == rollup.RolledUp(0, 0, 0, 0)
    assert reached(store).rolled_at == NOW


@pytest.mark.parametrize("before_it", ["0007", "0009"])
def test_after_an_upgrade_pages_say_what_is_missing_and_an_erasure_keeps_what_had_matured(
    store: Store, before_it: str
) -> None:
    frames = filled(store)
    roll_up(store, SETTINGS, NOW)
    before, gone = summed(store), frames["accounts"]["account_id"].iloc[2]
    upgrade_from(store, before_it)
    lacks = missing(store)
    assert lacks is not None
    assert "not rolled up yet" in lacks.what
    assert summed(store).empty
    erase(store, gone, NOW)
    roll_up(store, SETTINGS, NOW)
    is_matured = before["matured"] == 1
    after, matured = summed(store).query("matured == 1"), before[is_matured]
    assert missing(store) is None
    assert_same_cells(
        after.reset_index(drop=True).assign(self_cured=0), matured.reset_index(drop=True).assign(self_cured=0)
    )


def test_an_outcome_matures_when_its_window_has_settled_and_rows_reach_beyond(store: Store) -> None:
    frames = frames_of(10)
    send(store, frames)
    write_scores(store, frames["accounts"]["account_id"].tolist(), range(1))
    end = FIRST + 30 * DAY + SETTLING
    assert roll_up(store, SETTINGS, end - 2 * DAY).matured == 0
    assert roll_up(store, SETTINGS, end + 2 * DAY).matured == 10


def test_figures_of_who_is_erased_stay_and_a_rebuild_keeps_them(store: Store) -> None:
    frames = filled(store)
    roll_up(store, SETTINGS, NOW)
    before, gone = summed(store), frames["accounts"]["account_id"].iloc[2]
    hers = observed(store).query("account_id == @gone")
    assert hers["matured"].any()
    assert not hers["matured"].all()
    erase(store, gone, NOW)
    roll_up(store, SETTINGS, NOW)
    after, rows = summed(store), observed(store)
    assert gone not in set(rows["account_id"])
    assert rows["account_id"].str.startswith("erased-").sum() == hers["matured"].sum()
    is_matured = before["matured"] == 1
    assert_same_cells(after[after["matured"] == 1].reset_index(drop=True), before[is_matured].reset_index(drop=True))
    roll_up(store, SETTINGS, NOW, rebuild=True)
    assert_same_cells(summed(store), after)


def test_who_is_erased_while_her_outcome_is_looked_for_again_keeps_the_one_that_was_known(store: Store) -> None:
    frames = filled(store)
    roll_up(store, SETTINGS, NOW)
    gone = frames["accounts"]["account_id"].iloc[2]
    known = observed(store).query("account_id == @gone and matured == 1")
    with store.writing() as connection:
        connection.execute(sql.update(observations).where(observations.c.account_id == gone).values(matured=False))
    erase(store, gone, NOW)
    roll_up(store, SETTINGS, NOW)
    hers = observed(store)
    hers = hers[hers["account_id"].str.startswith("erased-")]
    assert sorted(hers["observation_id"]) == sorted(known["observation_id"])
    assert hers["matured"].all()
    assert hers["paid"].sum() == known["paid"].sum()


def test_a_score_of_time_that_its_model_has_learned_from_is_no_prediction(store: Store) -> None:
    filled(store)
    learned_until = FIRST + 6 * 13 * DAY  # of 24 March: of the month, another was given on the 11th

    def roll(learned_until: int = learned_until, rebuild: bool = False) -> rollup.RolledUp:
        terms = PaymentTerms(learned_until=learned_until)
        return roll_up(store, SETTINGS, NOW, payment_of=lambda _: terms, rebuild=rebuild)

    assert roll().learned == 12
    rows = observed(store)
    assert rows["as_of"].min() == learned_until
    again, found = roll(), summed(store)
    assert (again.observed, again.months, again.learned) == (0, 0, 12)
    roll(rebuild=True)
    assert_same_cells(summed(store), found)
    assert roll(0, rebuild=True).learned == 0
    honest = observed(store)
    assert set(honest["month"]) > set(rows["month"])
    # The month of the cut has its first unseen score, not the first of all.
    assert honest[honest["month"] == rows["month"].min()]["as_of"].max() < learned_until


def test_an_account_that_comes_late_has_no_prediction_of_learned_time_either(store: Store) -> None:
    frames = frames_of(10)
    write_scores(store, frames["accounts"]["account_id"].tolist(), range(0, 60, 20))

    def roll() -> rollup.RolledUp:
        return roll_up(store, SETTINGS, NOW, payment_of=lambda _: PaymentTerms(learned_until=FIRST + 20 * DAY))

    assert roll().observed == 0
    send(store, frames)
    roll()
    assert observed(store)["as_of"].min() == FIRST + 20 * DAY


def test_a_payer_is_who_paid_what_the_model_counts(store: Store) -> None:
    filled(store)
    asked = []

    def payment_of(sha256: str) -> PaymentTerms:
        asked.append(sha256)
        return PaymentTerms(above_amount=150.0, above_share=0.1)

    roll_up(store, SETTINGS, NOW, payment_of=payment_of)
    roll_up(store, SETTINGS, NOW, payment_of=payment_of)
    assert asked == ["0" * 64]
    rows, found = observed(store).query("matured == 1"), summed(store).query("cut == 'all'")
    is_payer = (rows["paid"] > 1_500_000) & (rows["paid"] > 0.1 * rows["balance"])
    assert 0 < found["payers"].sum() == is_payer.sum() < (rows["paid"] > 0).sum()
    roll_up(store, SETTINGS, NOW, rebuild=True)
    assert summed(store).query("cut == 'all'")["payers"].sum() == (rows["paid"] > 0).sum()


def test_another_time_zone_needs_a_rebuild(store: Store) -> None:
    filled(store, n_accounts=5)
    roll_up(store, SETTINGS, NOW)
    elsewhere = relabelled(SETTINGS, timezone="America/New_York")
    with pytest.raises(StoreError, match="--rebuild"):
        roll_up(store, elsewhere, NOW)
    roll_up(store, elsewhere, NOW, rebuild=True)
    assert len(observed(store))


def test_an_empty_store_is_rolled_up_to_nothing(store: Store) -> None:
    assert roll_up(store, SETTINGS, NOW) == rollup.RolledUp(0, 0, 0, 0)
    with store.reading() as connection:
        assert connection.execute(sql.select(answers)).first() is None
    assert summed(store).empty
