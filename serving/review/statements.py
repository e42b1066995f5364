"""The statements of the roll-up, in SQL that SQLite and PostgreSQL both understand.

The two that cost most are there for each of them: SQLite is fast at looking up one row after the other, PostgreSQL at
joining many at once, and at writing a row once instead of changing it.

A statement's arguments are named. What an outcome is: rows of an account with a time in `[as_of, window_end)` that were
known before `window_end` and a while to settle. A row is known when it was recorded, and never before it happened.
"""

from __future__ import annotations

from collections.abc import Iterable

from features.contract import PROMISE_GRACE_DAYS, REACHED_OUTCOMES
from features.units import DAY, MONEY_SCALE
from serving.store.rollups import KEY_PAIRS, P_SCALE, SQUARED

#: Late recordings are waited for so long after a window has ended.
SETTLING = 7 * DAY


def _month_of(instant: str) -> str:
    """The calendar month of an instant."""
    return f"(SELECT month FROM calendar_months WHERE start <= {instant} ORDER BY start DESC LIMIT 1)"  # noqa: S608


def _real(number: int) -> str:
    """A number as float64: PostgreSQL takes one that is written out for a decimal, and is slow at those."""
    return f"CAST({number} AS DOUBLE PRECISION)"


def _known(row: str) -> str:
    """When a row became known."""
    return f"CASE WHEN {row}.recorded_at > {row}.at THEN {row}.recorded_at ELSE {row}.at END"


#: The stage at `as_of`, by the limits of the feature of this name (`features.kernel`).
_PAST_DUE = "(s.as_of - a.due_on)"
_STAGE = f"""CASE WHEN a.due_on IS NULL THEN 'no due date' WHEN {_PAST_DUE} <= 0 THEN '0 not due'
    WHEN {_PAST_DUE} <= {5 * DAY} THEN '1 early' WHEN {_PAST_DUE} <= {18 * DAY} THEN '2 mid'
    WHEN {_PAST_DUE} <= {28 * DAY} THEN '3 late' WHEN {_PAST_DUE} <= {60 * DAY} THEN '4 front-end'
    WHEN {_PAST_DUE} <= {120 * DAY} THEN '5 mid-end' ELSE '6 back-end' END"""

_OBSERVED = """account_id, month, role, answer_id, position, as_of, window_end, model, band, p_pay, expected, balance,
    threshold, arm, chosen, segment, portfolio, vintage, stage"""
#: A score is observed where it speaks of money (a model of labels does not), its model had not learned from that time,
#: its account is in the store, and the month has none of the account yet. The order of SQLite's loops is that of the
#: tables; an account is looked up once a month. Who has one is asked for as a value, not by NOT EXISTS: that PostgreSQL
#: looks up by the whole key, whatever it knows of the table.
_NEW = f"""given AS MATERIALIZED (
    SELECT answer_id, as_of, role, model, as_of + t.horizon AS window_end, p.above_amount, p.above_share,
        {_month_of("as_of")} AS month
    FROM answers JOIN score_terms t ON t.digest = settings_digest
        JOIN payment_terms p ON p.bundle_sha256 = answers.bundle_sha256
    WHERE as_of >= p.learned_until AND {{answers}}),
{{unseen}},
anew AS (
    SELECT s.account_id, s.month, s.role, s.answer_id, s.position, s.as_of, s.window_end, s.model, s.band, s.p_pay,
        CAST(round(s.expected_amount * {MONEY_SCALE}) AS BIGINT) AS expected,
        CAST(round(s.balance * {MONEY_SCALE}) AS BIGINT) AS balance,
        CASE WHEN s.above_amount > s.balance * s.above_share * {MONEY_SCALE} THEN s.above_amount
            ELSE CAST(round(s.balance * s.above_share * {MONEY_SCALE}) AS BIGINT) END AS threshold,
        CASE WHEN s.rank IS NULL THEN 'score' WHEN s.explored THEN 'explored' ELSE 'rule' END AS arm,
        coalesce(s.channel, '') AS chosen, a.segment, coalesce(a.portfolio, '') AS portfolio,
        {_month_of("coalesce(a.placed_at, a.opened_at)")} AS vintage, {_STAGE} AS stage
    FROM unseen s CROSS JOIN accounts a
    WHERE s.nth = 1 AND a.account_id = s.account_id)"""  # noqa: S608 our own words
_SAID = """s.account_id, g.month, g.role, s.answer_id, s.position, g.as_of, g.window_end, g.model, s.band, s.p_pay,
    s.expected_amount, s.balance, g.above_amount, g.above_share, s.rank, s.explored, s.channel"""
_OBSERVED_OF = """(SELECT o.month FROM observations o
        WHERE o.account_id = {0}.account_id AND o.month = {1}.month AND o.role = {1}.role)"""
#: Each score is looked up.
_UNSEEN = f"""unseen AS (
    SELECT {_SAID},
        row_number() OVER (PARTITION BY s.account_id, g.month, g.role ORDER BY s.answer_id, s.position) AS nth
    FROM {{loops}}
    WHERE s.answer_id = g.answer_id AND s.expected_amount IS NOT NULL AND {{scores}}
        AND {_OBSERVED_OF.format("s", "g")} IS NULL)"""  # noqa: S608 our own words
#: The answers of a span, and its scores: after a place of the ledger, up to another.
_ANSWERS_OF_SPAN = "answer_id BETWEEN :answer_id AND :last_answer_id"
_OF_SPAN = """(s.answer_id, s.position) > (:answer_id, :position)
        AND (s.answer_id, s.position) <= (:last_answer_id, :last_position)"""
#: A place in a span as one number: so many to an answer, from its first answer on. A position is below this.
_PLACES = 2**31
#: Most scores are no news: the first of each account, month and role are found, then those are looked up. Each step is
#: MATERIALIZED: PostgreSQL takes all those look-ups for so dear that any way to join the rest would do beside them.
_FIRST_UNSEEN = f"""first_ones AS MATERIALIZED (
    SELECT s.account_id, g.month, g.role, min((s.answer_id - :answer_id) * {_PLACES} + s.position) AS place
    FROM given g CROSS JOIN scores s
    WHERE s.answer_id = g.answer_id AND s.expected_amount IS NOT NULL AND {_OF_SPAN}
    GROUP BY s.account_id, g.month, g.role),
places AS MATERIALIZED (
    SELECT :answer_id + f.place / {_PLACES} AS answer_id, f.place % {_PLACES} AS position
    FROM first_ones f WHERE {_OBSERVED_OF.format("f", "f")} IS NULL),
unseen AS (
    SELECT {_SAID}, 1 AS nth
    FROM places f CROSS JOIN given g CROSS JOIN scores s
    WHERE g.answer_id = f.answer_id AND s.answer_id = f.answer_id AND s.position = f.position AND {_OF_SPAN})"""  # noqa: S608
_OBSERVE = f"""
INSERT INTO observations ({_OBSERVED}, matured)
WITH {_NEW}
SELECT {_OBSERVED}, false FROM anew ORDER BY answer_id, position"""  # noqa: S608 our own words
#: What is new in a span; `OBSERVE_AND_MATURE` is its like in PostgreSQL.
OBSERVE_SPAN = _OBSERVE.format(
    answers=_ANSWERS_OF_SPAN, unseen=_UNSEEN.format(loops="given g CROSS JOIN scores s", scores=_OF_SPAN)
)
#: Scores that were read already, of accounts that came into the store since.
OBSERVE_NEWCOMERS = _OBSERVE.format(
    answers="""answer_id IN (SELECT s.answer_id FROM accounts a CROSS JOIN scores s
        WHERE a.arrival > :arrival AND a.arrival <= :last_arrival AND s.account_id = a.account_id)""",
    unseen=_UNSEEN.format(
        loops="accounts n CROSS JOIN scores s CROSS JOIN given g",
        scores="n.arrival > :arrival AND n.arrival <= :last_arrival AND s.account_id = n.account_id "
        "AND (s.answer_id, s.position) <= (:answer_id, :position)",
    ),
)
#: Where a span of so many rows ends.
SPAN_END = """SELECT answer_id, position FROM scores
WHERE (answer_id, position) > (:answer_id, :position) AND answer_id <= :final
ORDER BY answer_id, position LIMIT 1 OFFSET :rows"""
COUNT_REST = """SELECT count(*) FROM scores
WHERE (answer_id, position) > (:answer_id, :position) AND answer_id <= :final"""
LEDGER_END = """SELECT answer_id, position FROM scores WHERE answer_id <= :final
ORDER BY answer_id DESC, position DESC LIMIT 1"""

#: Months in which a span of answers lies.
MARK_SPAN = f"""UPDATE calendar_months SET stale = true WHERE month IN (
    SELECT DISTINCT {_month_of("as_of")} FROM answers WHERE answer_id BETWEEN :answer_id AND :last_answer_id)"""  # noqa: S608

_IN_WINDOW = "{0}.account_id = o.account_id AND {0}.{1} >= o.as_of AND {0}.{1} < o.window_end"
_SETTLED = f"o.window_end + {SETTLING}"


def _of_window(row: str, time: str, known: str) -> str:
    """That a row counts for the outcome of `o`."""
    return f"{_IN_WINDOW.format(row, time)} AND {known} < {_SETTLED}"


_WINDOWED = {
    "payments": _of_window("r", "at", _known("r")),
    "contacts": _of_window("r", "at", _known("r")),
    "promises": _of_window("r", "made_at", _known("r").replace("r.at", "r.made_at")),
}
#: Outcomes that a row which arrived late may change. A payment may also have kept a promise whose grace ended after the
#: window: any that was known in time counts.
_CHANGES_OUTCOME = {
    "payments": f"r.at >= o.as_of AND {_known('r')} < {_SETTLED}",
    "contacts": _WINDOWED["contacts"],
    "promises": _WINDOWED["promises"],
}
LATE = " UNION ".join(
    f"""SELECT o.observation_id FROM changes c CROSS JOIN {table} r CROSS JOIN observations o
    WHERE c.arrival > :arrival AND c.arrival <= :last_arrival AND r.account_id = c.account_id AND r.arrival > :arrival
        AND o.account_id = c.account_id AND o.matured AND {changes_outcome}"""  # noqa: S608 our own words
    for table, changes_outcome in _CHANGES_OUTCOME.items()
)
#: They wait for being looked for again; not those of an account that was erased meanwhile.
REOPEN = """UPDATE observations SET matured = false
WHERE observation_id = :observation_id AND account_id IN (SELECT account_id FROM changes)"""
MARK_REOPENED = """UPDATE calendar_months SET stale = true WHERE month IN (
    SELECT DISTINCT month FROM observations WHERE NOT matured AND paid IS NOT NULL)"""

#: The open ones whose time has come, so many at a time; their months; how many there are.
_IS_RIPE = f"NOT matured AND window_end <= :known_until - {SETTLING}"
_RIPE = f"SELECT * FROM observations WHERE {_IS_RIPE} ORDER BY window_end, observation_id LIMIT :rows"  # noqa: S608
COUNT_RIPE = f"SELECT count(*) FROM observations WHERE {_IS_RIPE}"  # noqa: S608
MARK_RIPE = f"""UPDATE calendar_months SET stale = true WHERE month IN (
    SELECT DISTINCT month FROM ({_RIPE}) AS ripe)"""  # noqa: S608

#: The first contact comes first as text, too: a number of 16 digits stands before it.
_FIRST = 10**15
_BEGINS = 18
_COST = """coalesce(r.cost,
    (SELECT k.cost FROM channel_costs k WHERE k.digest = g.settings_digest AND k.channel = r.channel), 0)"""
_REACHED = f"({', '.join(repr(outcome) for outcome in REACHED_OUTCOMES)})"
_DEADLINE = f"r.due_on + {PROMISE_GRACE_DAYS * DAY}"
#: What followed, of the next of them.
MATURE = f"""
UPDATE observations AS o SET
matured = true,
(paid, first_paid_at, cured_at) = (
    SELECT coalesce(sum(r.amount), 0), min(CASE WHEN r.amount > 0 THEN r.at END),
        CASE WHEN sum(r.amount) >= o.balance THEN (SELECT min(at) FROM (
            SELECT r.at, sum(r.amount) OVER (ORDER BY r.at) AS so_far
            FROM payments r WHERE {_WINDOWED["payments"]}) AS made WHERE so_far >= o.balance) END
    FROM payments r WHERE {_WINDOWED["payments"]}),
(contacts, first_contact_at, calls, right_parties, cost, channel, agent) = (
    SELECT count(*), min(at), coalesce(sum(CASE WHEN channel = 'call' THEN 1 ELSE 0 END), 0),
        coalesce(sum(CASE WHEN outcome IN {_REACHED} THEN 1 ELSE 0 END), 0), coalesce(sum(cost), 0),
        coalesce(substr(min(place || channel), {_BEGINS}), ''), coalesce(substr(min(place || agent), {_BEGINS}), '')
    FROM (SELECT r.at, r.channel, r.outcome, r.agent, {_COST} AS cost,
            CAST({_FIRST} + r.at - o.as_of AS TEXT) || ' ' AS place
        FROM contacts r
        WHERE {_WINDOWED["contacts"]} AND coalesce(r.direction, 'outbound') = 'outbound') AS made),
(promises, promises_due, promises_kept) = (
    SELECT count(*), coalesce(sum(CASE WHEN covered >= amount OR deadline < {_SETTLED} THEN 1 ELSE 0 END), 0),
        coalesce(sum(CASE WHEN covered >= amount THEN 1 ELSE 0 END), 0)
    FROM (SELECT r.amount, {_DEADLINE} AS deadline, (
            SELECT coalesce(sum(p.amount), 0) FROM payments p WHERE p.account_id = r.account_id
                AND p.at >= r.made_at AND p.at <= {_DEADLINE} AND {_known("p")} < {_SETTLED}) AS covered
        FROM promises r WHERE {_WINDOWED["promises"]}) AS given)
FROM answers g
WHERE g.answer_id = o.answer_id AND observation_id IN (SELECT observation_id FROM ({_RIPE}) AS ripe)"""  # noqa: S608

#: The same, of many at once in PostgreSQL: what is found of each among the rows of a table.
_FOUND_AMONG = {
    "payments": f"""
    SELECT observation_id, CAST(sum(amount) AS BIGINT) AS paid, min(at) FILTER (WHERE amount > 0) AS first_paid_at,
        CASE WHEN sum(amount) >= min(balance) THEN min(at) FILTER (WHERE so_far >= balance) END AS cured_at
    FROM (SELECT o.observation_id, o.balance, r.amount, r.at,
            sum(r.amount) OVER (PARTITION BY o.observation_id ORDER BY r.at) AS so_far
        FROM ripe o JOIN payments r ON {_WINDOWED["payments"]}) AS made
    GROUP BY observation_id""",  # noqa: S608 our own words
    "contacts": f"""
    SELECT observation_id, count(*) AS contacts, min(at) AS first_contact_at,
        count(*) FILTER (WHERE channel = 'call') AS calls,
        count(*) FILTER (WHERE outcome IN {_REACHED}) AS right_parties, CAST(sum(cost) AS BIGINT) AS cost,
        substr(min(place || channel), {_BEGINS}) AS channel, substr(min(place || agent), {_BEGINS}) AS agent
    FROM (SELECT o.observation_id, r.at, r.channel, r.outcome, r.agent, coalesce(r.cost, k.cost, 0) AS cost,
            CAST({_FIRST} + r.at - o.as_of AS TEXT) || ' ' AS place
        FROM ripe o JOIN contacts r ON {_WINDOWED["contacts"]} AND (r.direction IS NULL OR r.direction = 'outbound')
            LEFT JOIN channel_costs k ON k.digest = o.settings_digest AND k.channel = r.channel) AS made
    GROUP BY observation_id""",  # noqa: S608 our own words
    "promises": f"""
    SELECT observation_id, count(*) AS promises,
        count(*) FILTER (WHERE covered >= amount OR deadline < settled) AS promises_due,
        count(*) FILTER (WHERE covered >= amount) AS promises_kept
    FROM (SELECT o.observation_id, {_SETTLED} AS settled, r.amount, {_DEADLINE} AS deadline,
            coalesce(sum(p.amount), 0) AS covered
        FROM ripe o JOIN promises r ON {_WINDOWED["promises"]}
            LEFT JOIN payments p ON p.account_id = r.account_id AND p.at >= r.made_at AND p.at <= {_DEADLINE}
                AND {_known("p")} < {_SETTLED}
        GROUP BY o.observation_id, o.window_end, r.row_key, r.amount, r.due_on) AS given
    GROUP BY observation_id""",  # noqa: S608 our own words
}
#: What stands there where nothing is found.
_NOTHING = {
    "payments": {"paid": "0", "first_paid_at": "NULL", "cured_at": "NULL"},
    "contacts": {"contacts": "0", "first_contact_at": "NULL", "calls": "0", "right_parties": "0", "cost": "0"}
    | {"channel": "''", "agent": "''"},
    "promises": {"promises": "0", "promises_due": "0", "promises_kept": "0"},
}
_OUTCOME = {name: nothing for columns in _NOTHING.values() for name, nothing in columns.items()}


def _found_among(columns: Iterable[str], rows: str) -> str:
    """Rows with all columns of an outcome, of which these are known."""
    unknown = {name: f"CAST(NULL AS {'TEXT' if name in {'channel', 'agent'} else 'BIGINT'})" for name in _OUTCOME}
    listed = ", ".join(name if name in columns else f"{unknown[name]} AS {name}" for name in _OUTCOME)
    return f"SELECT observation_id, {listed} FROM {rows}"  # noqa: S608 our own words


_EACH_FOUND = " UNION ALL ".join(
    [_found_among((), "ripe")]
    + [_found_among(_NOTHING[table], f"({rows}) AS {table}") for table, rows in _FOUND_AMONG.items()]
)
#: Parts are put on top of each other, not joined: however many PostgreSQL takes them for, each is made once.
_FOUND = f"""found AS MATERIALIZED (
    SELECT observation_id,
        {", ".join(f"coalesce(max({name}), {nothing}) AS {name}" for name, nothing in _OUTCOME.items())}
    FROM ({_EACH_FOUND}) AS each_found GROUP BY observation_id)"""  # noqa: S608 our own words
_RIPE_COLUMNS = "o.observation_id, o.account_id, o.as_of, o.window_end, o.balance, g.settings_digest"
MATURE_TOGETHER = f"""
WITH ripe AS MATERIALIZED (
    SELECT {_RIPE_COLUMNS} FROM ({_RIPE}) AS o JOIN answers g ON g.answer_id = o.answer_id),
{_FOUND}
UPDATE observations AS o SET matured = true, {", ".join(f"{name} = found.{name}" for name in _OUTCOME)}
FROM found WHERE o.observation_id = found.observation_id"""  # noqa: S608 our own words
#: What is new in a span, with what followed of those whose time has come already; how many they are, and how many of
#: these. In PostgreSQL a row that is changed is written anew, with its place in every index.
OBSERVE_AND_MATURE = f"""
WITH {_NEW.format(answers=_ANSWERS_OF_SPAN, unseen=_FIRST_UNSEEN)},
numbered AS MATERIALIZED (
    SELECT nextval('observations_observation_id_seq') AS observation_id, ordered.*
    FROM (SELECT * FROM anew ORDER BY answer_id, position) AS ordered),
ripe AS MATERIALIZED (
    SELECT {_RIPE_COLUMNS} FROM numbered o JOIN answers g ON g.answer_id = o.answer_id
    WHERE o.window_end <= :known_until - {SETTLING}),
{_FOUND},
added AS (
    INSERT INTO observations (observation_id, {_OBSERVED}, matured, {", ".join(_OUTCOME)})
    SELECT o.observation_id, {_OBSERVED}, found.observation_id IS NOT NULL, {", ".join(_OUTCOME)}
    FROM numbered o LEFT JOIN found ON found.observation_id = o.observation_id
    ORDER BY o.observation_id
    RETURNING matured)
SELECT count(*), count(*) FILTER (WHERE matured) FROM added"""  # noqa: S608 our own words

_WHOLE_P = f"CAST(round(p_pay * {P_SCALE}) AS BIGINT)"
#: By what observations are cut, and as what text.
CUTS = {
    "all": "''",
    "vintage": "CAST(vintage AS TEXT)",
    "stage": "stage",
    "segment": "segment",
    "portfolio": "portfolio",
    "channel": "coalesce(channel, '')",
    "chosen": "chosen",
    "agent": "coalesce(agent, '')",
    # Hundredths, for the curves: a division of whole numbers rounds down in both databases.
    "p_pay": f"CAST({_WHOLE_P} / {P_SCALE // 100} AS TEXT)",
}
_SUM_OF = {
    "accounts": "1",
    "balance": "balance",
    "predicted_payers": _WHOLE_P,
    "payers_variance": f"CAST(round(p_pay * (1 - p_pay) * {P_SCALE}) AS BIGINT)",
    "expected": "expected",
    "payers": "CASE WHEN paid > threshold THEN 1 ELSE 0 END",
    "paid": "paid",
    "contacts": "contacts",
    "calls": "calls",
    "right_parties": "right_parties",
    "promises": "promises",
    "promises_due": "promises_due",
    "promises_kept": "promises_kept",
    "cost": "cost",
    "days_to_pay": "CASE WHEN paid > threshold THEN first_paid_at - as_of ELSE 0 END",
    "cured": "CASE WHEN cured_at IS NOT NULL THEN 1 ELSE 0 END",
    # Nobody contacted the account before.
    "self_cured": "CASE WHEN cured_at <= coalesce(first_contact_at, cured_at) THEN 1 ELSE 0 END",
}
_MONEY, _PAID_MONEY = f"(expected / {_real(MONEY_SCALE)})", f"(paid / {_real(MONEY_SCALE)})"
_SQUARE_OF = {
    "expected_squared": f"{_MONEY} * {_MONEY}",
    "paid_squared": f"{_PAID_MONEY} * {_PAID_MONEY}",
    "expected_times_paid": f"{_MONEY} * {_PAID_MONEY}",
}
#: A reopened outcome counts for nothing until it is found again.
_OF_PREDICTION = {"accounts", "balance", "predicted_payers", "payers_variance", "expected", "expected_squared"}


def _counted(name: str, of: str) -> str:
    return of if name in _OF_PREDICTION else f"CASE WHEN matured THEN {of} ELSE 0 END"


_WORKED = "(matured AND contacts > 0)"
#: The cells of a month, as rows of `cells`: what is summed is worked out once, for all cuts.
CELLS = f"""
WITH each_one AS MATERIALIZED (
    SELECT month, role, model, arm, matured, {_WORKED} AS worked, band,
        {", ".join(f"{value} AS cut_{cut}" for cut, value in CUTS.items())},
        {", ".join(f"{_counted(name, of)} AS each_{name}" for name, of in (_SUM_OF | _SQUARE_OF).items())}
    FROM observations WHERE month = :month)
""" + " UNION ALL ".join(  # noqa: S608 our own words
    f"""
SELECT '{cut}' AS cut, month, cut_{cut} AS value, role, model, arm, matured, worked, band,
    {", ".join(f"coalesce(sum(each_{name}), 0) AS {name}" for name in _SUM_OF | _SQUARE_OF)}
FROM each_one GROUP BY month, cut_{cut}, role, model, arm, matured, worked, band"""  # noqa: S608
    for cut in CUTS
)

#: What key figures are made of, of an observation: amounts in the main unit, times in days.
_IN_UNITS = {
    **{name: _SUM_OF[name] for name in SQUARED if name != "worked_accounts"},
    "worked_accounts": "CASE WHEN contacts > 0 THEN 1 ELSE 0 END",
    "paid": _PAID_MONEY,
    "balance": f"(balance / {_real(MONEY_SCALE)})",
    "cost": f"(cost / {_real(MONEY_SCALE)})",
    "days_to_pay": f"({_SUM_OF['days_to_pay']}) / {_real(DAY)}",
}
RESIDUALS = f"""
SELECT month, role, model, sum(p2) AS payers_each, sum(p1 * p1) AS payers_by_person, sum(m2) AS money_each,
    sum(m1 * m1) AS money_by_person,
    {", ".join(f"sum({_real(1)} * {name} * {name}) AS {name}_squared" for name in SQUARED)},
    {", ".join(f"sum({_real(1)} * {above} * {below}) AS {above}_times_{below}" for above, below in KEY_PAIRS)}
FROM (
    SELECT month, role, model, sum(p) AS p1, sum(p * p) AS p2, sum(m) AS m1, sum(m * m) AS m2,
        {", ".join(f"sum({name}) AS {name}" for name in SQUARED)}
    FROM (
        SELECT month, role, model, coalesce(person_id, account_id) AS person, person_id IS NULL AS is_alone,
            (CASE WHEN paid > threshold THEN 1 ELSE 0 END) - p_pay AS p,
            (paid - expected) / {_real(MONEY_SCALE)} AS m,
            {", ".join(f"{of} AS {name}" for name, of in _IN_UNITS.items())}
        FROM (SELECT o.*, a.person_id FROM observations o LEFT JOIN accounts a ON a.account_id = o.account_id
            WHERE o.month = :month AND o.matured) AS of_month) AS each_one
    GROUP BY month, role, model, person, is_alone) AS each_person
GROUP BY month, role, model"""  # noqa: S608 our own words

#: From a month to the next, by the champion's scores.
MOVES = """
SELECT o.month, o.stage, coalesce(n.stage, '') AS stage_after, count(*) AS accounts, sum(o.balance) AS balance
FROM observations o LEFT JOIN observations n
    ON n.account_id = o.account_id AND n.month = :next_month AND n.role = o.role
WHERE o.month = :month AND o.role = 'champion'
GROUP BY o.month, o.stage, coalesce(n.stage, '')"""

SWAPS = f"""
SELECT month, champion, challenger, champion_tenth, challenger_tenth, count(*) AS accounts,
    sum(champion_p) AS champion_payers, sum(challenger_p) AS challenger_payers,
    sum(CASE WHEN paid > threshold THEN 1 ELSE 0 END) AS payers, sum(paid) AS paid
FROM (SELECT o.month, o.model AS champion, n.model AS challenger, o.paid, o.threshold,
        CAST(round(o.p_pay * {P_SCALE}) AS BIGINT) AS champion_p,
        CAST(round(n.p_pay * {P_SCALE}) AS BIGINT) AS challenger_p,
        ntile(10) OVER (PARTITION BY o.model, n.model ORDER BY o.p_pay DESC, o.observation_id) AS champion_tenth,
        ntile(10) OVER (PARTITION BY o.model, n.model ORDER BY n.p_pay DESC, o.observation_id) AS challenger_tenth
    FROM observations o JOIN observations n
        ON n.account_id = o.account_id AND n.month = o.month AND n.role = 'challenger'
    WHERE o.month = :month AND o.role = 'champion' AND o.matured AND n.matured AND n.as_of = o.as_of) AS both_said
GROUP BY month, champion, challenger, champion_tenth, challenger_tenth"""  # noqa: S608 our own words
LAST_KNOWN = f"""SELECT max(known) FROM (
    SELECT max({_known("r")}) AS known FROM payments r WHERE {_known("r")} <= :now
    UNION ALL SELECT max({_known("r")}) FROM contacts r WHERE {_known("r")} <= :now) AS latest"""  # noqa: S608

PLACEMENTS = f"""SELECT {_month_of("coalesce(placed_at, opened_at)")} AS vintage, count(*) AS accounts,
    sum(balance) AS balance
FROM accounts WHERE coalesce(placed_at, opened_at) < :known_until GROUP BY vintage"""  # noqa: S608
COLLECTIONS = f"""SELECT vintage, month, sum(amount) AS paid FROM (
    SELECT {_month_of("coalesce(a.placed_at, a.opened_at)")} AS vintage, {_month_of("r.at")} AS month, r.amount
    FROM payments r JOIN accounts a ON a.account_id = r.account_id WHERE {_known("r")} < :known_until) AS made
GROUP BY vintage, month"""  # noqa: S608

FORGET_OBSERVATIONS = "DELETE FROM observations WHERE account_id NOT IN (SELECT token FROM erasures)"
MARK_SUMMED = "UPDATE calendar_months SET stale = true WHERE month IN (SELECT month FROM cells)"
MARK_KEPT = "UPDATE calendar_months SET stale = true WHERE month IN (SELECT month FROM observations)"

#: Answers of time that their model had learned from, and up to when the last one's had; whether there are others.
_OF_TERMS = "FROM answers g JOIN payment_terms p ON p.bundle_sha256 = g.bundle_sha256 WHERE g.as_of"
COUNT_LEARNED = f"SELECT count(*) {_OF_TERMS} < p.learned_until"
LEARNED_UNTIL = f"SELECT p.learned_until {_OF_TERMS} < p.learned_until ORDER BY g.answer_id DESC LIMIT 1"
ANY_UNLEARNED = f"SELECT 1 {_OF_TERMS} >= p.learned_until LIMIT 1"
IS_UNREAD = """SELECT 1 FROM scores WHERE (answer_id, position) > (:answer_id, :position) LIMIT 1"""

BUNDLES = "SELECT DISTINCT bundle_sha256 FROM answers WHERE answer_id > :answer_id AND answer_id <= :final"
