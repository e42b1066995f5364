"""The law: for the same account, moment and model, every way to a score gives the same bits.

Nothing here is compared with a tolerance. A service that rounds otherwise than the batch ranks otherwise, and a ledger
of scores that cannot be repeated proves nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.units import from_instants
from serving import scoring
from serving.api import scores
from serving.api.calls import Call, Serving
from serving.engine import make_engine
from serving.reasons import explain
from serving.scoring import Scorer, prepare_scorer, rows_of, score
from tests.serving.small import (
    AS_OF,
    KNOWN,
    NONE_KNOWN,
    histories_of,
    random_frames,
    request_of,
    same_bits,
    small_bundle,
    small_histories,
    write_small_bundle,
    write_small_portfolio,
)

N_ACCOUNTS = len(small_histories())
SUPPORTS = pytest.mark.parametrize("supported", [KNOWN, NONE_KNOWN], ids=["effects known", "effects unknown"])


@cache
def scorer_of(supported: tuple[str, ...] = KNOWN) -> Scorer:
    return prepare_scorer(small_bundle(supported))


@cache
def everyone(supported: tuple[str, ...] = KNOWN) -> pd.DataFrame:
    return score(scorer_of(supported), small_histories(), AS_OF)


def ordered(scores: pd.DataFrame) -> pd.DataFrame:
    return scores.sort_values("account_id", ignore_index=True)


@SUPPORTS
def test_one_account_at_a_time_is_all_at_once(supported: tuple[str, ...]) -> None:
    scorer, histories = scorer_of(supported), small_histories()
    single = [score(scorer, histories.take(np.array([row])), AS_OF) for row in range(N_ACCOUNTS)]
    assert same_bits(pd.concat(single, ignore_index=True), everyone(supported))


@settings(max_examples=60)
@given(rows=st.lists(st.integers(0, N_ACCOUNTS - 1), min_size=1, max_size=40, unique=True), supported=st.booleans())
def test_any_accounts_in_any_order_score_as_among_all(rows: list[int], supported: bool) -> None:
    scorer, whole = scorer_of(KNOWN if supported else NONE_KNOWN), everyone(KNOWN if supported else NONE_KNOWN)
    chosen = np.array(rows)
    named = score(scorer, small_histories(), AS_OF, account_rows=chosen)
    taken = score(scorer, small_histories().take(chosen), AS_OF)
    assert same_bits(named, taken)
    assert same_bits(ordered(named), whole[whole["account_id"].isin(named["account_id"])].reset_index(drop=True))


@settings(max_examples=20)
@given(
    cuts=st.lists(st.integers(0, N_ACCOUNTS), max_size=4), block=st.integers(30, 400), threads=st.sampled_from([1, 2])
)
@example(cuts=[], block=1, threads=1)
def test_any_partition_any_block_and_any_number_of_threads(cuts: list[int], block: int, threads: int) -> None:
    edges = [0, *sorted(cuts), N_ACCOUNTS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "BLOCK", block)
        parts = [
            score(scorer_of(), small_histories().take(np.arange(begin, end)), AS_OF, threads=threads)
            for begin, end in pairwise(edges)
        ]
    assert same_bits(pd.concat([part for part in parts if len(part)], ignore_index=True), everyone())


def test_the_order_of_the_rows_of_a_table_says_nothing() -> None:
    shuffled = {name: frame.sample(frac=1, random_state=7) for name, frame in random_frames().items()}
    assert same_bits(score(scorer_of(), histories_of(shuffled), AS_OF), everyone())


def test_rows_that_become_known_later_change_no_score() -> None:
    frames = random_frames()
    moment = from_instants(np.array([AS_OF]))[0]
    payment = frames["payments"].iloc[:50].assign(at=moment - pd.Timedelta(days=2), amount=900.0, recorded_at=moment)
    contact = frames["contacts"].iloc[:50].assign(at=moment)
    closed = pd.DataFrame({"account_id": frames["accounts"]["account_id"], "at": moment, "kind": "deceased"})
    for name, later in (("payments", payment), ("contacts", contact), ("restrictions", closed)):
        frames[name] = pd.concat([frames[name], later], ignore_index=True)
    assert same_bits(score(scorer_of(), histories_of(frames), AS_OF), everyone())


def answered(account_ids: list[str]) -> dict[str, Any]:
    engine = make_engine(small_bundle())
    body = msgspec.json.encode(request_of(account_ids, random_frames()))
    call = Call(Serving(lambda: engine, lambda: AS_OF), engine, AS_OF, body)
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(scores.answer(call).content))
    return found


def as_table(scores: list[dict[str, Any]], like: pd.DataFrame) -> pd.DataFrame:
    """Scores as they came in JSON, as a table of the types of another one."""
    table = pd.DataFrame(scores)
    table["as_of"] = pd.to_datetime(table["as_of"], utc=True).dt.as_unit("us")
    return table.astype(like.dtypes.to_dict())


def test_histories_in_a_request_score_as_those_of_a_folder() -> None:
    ids = small_histories().accounts.account_id.tolist()
    assert same_bits(as_table(answered(ids)["scores"], everyone()), everyone())


@settings(max_examples=15)
@given(rows=st.lists(st.integers(0, N_ACCOUNTS - 1), min_size=1, max_size=4, unique=True))
def test_a_request_for_few_accounts_scores_as_one_for_all(rows: list[int]) -> None:
    found = answered([str(small_histories().accounts.account_id[row]) for row in rows])
    whole = everyone()
    live = whole[whole["account_id"].isin([one["account_id"] for one in found["scores"]])].reset_index(drop=True)
    assert len(found["scores"]) + len(found["not_scored"]) == len(rows)
    assert not found["scores"] or same_bits(as_table(found["scores"], whole), live)


@settings(max_examples=40)
@given(rows=st.lists(st.integers(0, N_ACCOUNTS - 1), min_size=1, max_size=30, unique=True))
def test_the_reasons_of_an_account_do_not_depend_on_its_company(rows: list[int]) -> None:
    together = explain(scorer_of(), small_histories(), np.array(rows), AS_OF)
    assert together[:1] == explain(scorer_of(), small_histories(), np.array(rows[:1]), AS_OF)


def test_the_command_gives_the_same_bits_on_a_lesser_processor(tmp_path: Path) -> None:
    # The vector instructions of NumPy are switched off: what they compute must not show in a score.
    portfolio, bundle = write_small_portfolio(tmp_path / "small"), write_small_bundle(tmp_path / "bundle")
    out = tmp_path / "scores.parquet"
    program = "from serving.commands import score; score(standalone_mode=False)"
    arguments = ["--as-of", "2026-04-01T06:30:00Z", "--model", str(bundle), "--out", str(out)]
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(switchable_features()), "PYTHONWARNINGS": "error"}
    subprocess.run([sys.executable, "-c", program, str(portfolio), *arguments], env=environment, check=True)
    assert same_bits(pd.read_parquet(out), everyone().assign(model="bundle"))


def switchable_features() -> list[str]:
    """The instructions that NumPy would use on this processor beyond those it cannot do without."""
    from numpy._core import _multiarray_umath as internals  # type: ignore[attr-defined]

    return [name for name in internals.__cpu_dispatch__ if internals.__cpu_features__.get(name)]


def test_rows_are_found_by_id() -> None:
    ids = pd.Series(["A00007", "A00001"])
    assert rows_of(small_histories(), ids).tolist() == [7, 1]
