"""A second oracle, in SQL: counts, totals and times since, and how late promises are, from rows as they are given.

The catalogue's declarations are rows of a table here, and what they mean is one query over what was known of an account
before the moment. DuckDB does the work, its time zones included; no code is shared with the kernel, nor with the oracle
in plain Python. Money is a decimal number of four places, and a window is so many times 24 hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.catalog.grammar import Count, DaysSince, Feature, Quantity, Total
from features.settings import PortfolioSettings
from tests.features.seen import RawPortfolio

#: The columns of each table that the queries read, with their types.
COLUMNS = {
    "accounts": {"account_id": "VARCHAR", "timezone": "VARCHAR"},
    "contacts": {
        "account_id": "VARCHAR", "at": "TIMESTAMPTZ", "recorded_at": "TIMESTAMPTZ", "channel": "VARCHAR",
        "outcome": "VARCHAR", "direction": "VARCHAR", "cost": "DECIMAL(18, 4)",
    },
    "payments": {
        "account_id": "VARCHAR", "at": "TIMESTAMPTZ", "recorded_at": "TIMESTAMPTZ", "amount": "DECIMAL(18, 4)",
    },
    "charges": {
        "account_id": "VARCHAR", "at": "TIMESTAMPTZ", "recorded_at": "TIMESTAMPTZ", "amount": "DECIMAL(18, 4)",
    },
    "promises": {
        "account_id": "VARCHAR", "made_at": "TIMESTAMPTZ", "recorded_at": "TIMESTAMPTZ", "due_on": "TIMESTAMPTZ",
        "amount": "DECIMAL(18, 4)",
    },
    "moments": {"moment": "BIGINT", "account_id": "VARCHAR", "as_of": "TIMESTAMPTZ"},
    "features": {
        "feature": "BIGINT", "source": "VARCHAR", "measure": "VARCHAR", "days": "BIGINT", "n_conditions": "BIGINT",
    },
    "conditions": {"feature": "BIGINT", "dimension": "VARCHAR", "value": "VARCHAR"},
    "defaults": {"timezone": "VARCHAR"},
}  # fmt: skip

ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
    "DECIMAL(18, 4)": pa.decimal128(18, 4),
}

VIEWS = """
-- Every moment with what was known of its account strictly before it.
CREATE VIEW zones AS
SELECT account_id, coalesce(accounts.timezone, defaults.timezone) AS zone FROM accounts, defaults;

CREATE VIEW known_contacts AS
SELECT moments.*, contacts.*, contacts.at AT TIME ZONE zone AS local
FROM moments JOIN zones USING (account_id) JOIN contacts USING (account_id)
WHERE contacts.at < as_of AND coalesce(recorded_at < as_of, true);

CREATE VIEW known_payments AS
SELECT moments.*, payments.*, payments.at AT TIME ZONE zone AS local
FROM moments JOIN zones USING (account_id) JOIN payments USING (account_id)
WHERE payments.at < as_of AND coalesce(recorded_at < as_of, true);

CREATE VIEW known_charges AS
SELECT moments.*, charges.*, charges.at AT TIME ZONE zone AS local
FROM moments JOIN zones USING (account_id) JOIN charges USING (account_id)
WHERE charges.at < as_of AND coalesce(recorded_at < as_of, true);

CREATE VIEW known_promises AS
SELECT moments.*, promises.*, promises.rowid AS promise,
    due_on + to_hours(72) AS deadline, due_on <= made_at + to_hours(72) AS is_quick
FROM moments JOIN promises USING (account_id)
WHERE made_at < as_of AND coalesce(recorded_at < as_of, true);

-- What was paid in the time of each promise: up to each instant of a payment, and in all.
CREATE VIEW paid_on_promises AS
SELECT promised.moment, promise, promised.amount AS promised, paid.at,
    sum(paid.amount) OVER (PARTITION BY promised.moment, promise ORDER BY paid.at) AS paid_by_then,
    sum(paid.amount) OVER (PARTITION BY promised.moment, promise) AS paid_in_time
FROM known_promises AS promised JOIN known_payments AS paid
    ON promised.moment = paid.moment AND paid.at BETWEEN made_at AND deadline;

CREATE VIEW kept_promises AS
SELECT moment, promise, min(paid_on_promises.at) AS kept_at
FROM paid_on_promises WHERE paid_in_time >= promised AND paid_by_then >= promised
GROUP BY ALL;

-- How late each promise was first covered by what was paid since its making, or is so far, in microseconds.
CREATE VIEW paid_since_promises AS
SELECT promised.moment, promise, promised.amount AS promised, paid.at,
    sum(paid.amount) OVER (PARTITION BY promised.moment, promise ORDER BY paid.at) AS paid_by_then,
    sum(paid.amount) OVER (PARTITION BY promised.moment, promise) AS paid_since
FROM known_promises AS promised JOIN known_payments AS paid
    ON promised.moment = paid.moment AND paid.at >= made_at;

CREATE VIEW late_promises AS
SELECT moment, made_at, date_diff('microsecond', due_on, coalesce(covered_at, as_of)) AS late
FROM known_promises LEFT JOIN (
    SELECT moment, promise, min(paid_since_promises.at) AS covered_at
    FROM paid_since_promises WHERE paid_since >= promised AND paid_by_then >= promised
    GROUP BY ALL
) USING (moment, promise)
WHERE covered_at IS NOT NULL OR due_on + to_hours(24) <= as_of;

CREATE VIEW quantities AS
UNPIVOT (
    SELECT moment,
        arg_max(late, (made_at, late))::DOUBLE AS last_promise_days_late,
        sum(late)::DOUBLE / count(*) AS promise_days_late,
        max(late)::DOUBLE AS most_promise_days_late
    FROM late_promises GROUP BY moment
) ON COLUMNS(* EXCLUDE moment) INTO NAME measure VALUE late;

-- Every event that counts for a moment: when it happened, its money, and what it is in each dimension.
CREATE VIEW events AS
SELECT 'contacts' AS source, moment, as_of, known_contacts.at AS happened_at, coalesce(cost, 0) AS money, MAP {
    'channel': channel,
    'outcome': outcome,
    'direction': coalesce(direction, 'outbound'),
    'daypart': CASE WHEN hour(local) < 12 THEN 'morning' WHEN hour(local) < 17 THEN 'afternoon' ELSE 'evening' END,
    'weekpart': CASE WHEN isodow(local) <= 5 THEN 'workday' ELSE 'weekend' END
} AS dimensions
FROM known_contacts
UNION ALL
SELECT 'payments', moment, as_of, known_payments.at, amount, MAP {
    'sign': CASE WHEN amount > 0 THEN 'payment' WHEN amount < 0 THEN 'reversal' ELSE 'nothing' END,
    'monthday': day(local)::VARCHAR
}
FROM known_payments
UNION ALL
SELECT 'charges', moment, as_of, known_charges.at, amount, MAP {
    'sign': CASE WHEN amount > 0 THEN 'charge' WHEN amount < 0 THEN 'credit' ELSE 'nothing' END,
    'monthday': day(local)::VARCHAR
}
FROM known_charges
UNION ALL
SELECT 'promises', moment, as_of, made_at, amount, MAP {'term': CASE WHEN is_quick THEN 'quick' ELSE 'later' END}
FROM known_promises
UNION ALL
SELECT 'settlements', moment, as_of, coalesce(kept_at, deadline), amount, MAP {
    'state': CASE WHEN kept_at IS NULL THEN 'broken' ELSE 'kept' END,
    'due': CASE WHEN deadline < as_of THEN 'yes' ELSE 'no' END,
    'term': CASE WHEN is_quick THEN 'quick' ELSE 'later' END
}
FROM known_promises LEFT JOIN kept_promises USING (moment, promise)
WHERE kept_at IS NOT NULL OR deadline < as_of;
"""

QUERY = """
WITH event AS MATERIALIZED (SELECT row_number() OVER () AS event, * FROM events),
dimension AS (SELECT event, source, unnest(map_entries(dimensions), recursive := true) FROM event),
met AS (
    SELECT feature, event, count(*) AS n_met
    FROM dimension JOIN conditions ON dimension.key = conditions.dimension AND dimension.value = conditions.value
        JOIN features USING (source, feature)
    GROUP BY ALL
),
counted AS (
    SELECT features.feature, moment, count(*) AS n, sum(money) AS money, max(happened_at) AS latest
    FROM features JOIN event USING (source) LEFT JOIN met USING (feature, event)
    WHERE coalesce(n_met, 0) = n_conditions AND (days IS NULL OR happened_at >= as_of - to_hours(24 * days))
    GROUP BY ALL
)
SELECT
    CASE measure
        WHEN 'count' THEN coalesce(n, 0)
        WHEN 'total' THEN coalesce(money, 0)::DOUBLE
        WHEN 'since' THEN coalesce(date_diff('microsecond', latest, as_of) / (24 * 3_600_000_000)::DOUBLE, 'nan')
        ELSE coalesce(late / (24 * 3_600_000_000)::DOUBLE, 'nan')
    END::FLOAT AS value
FROM moments CROSS JOIN features LEFT JOIN counted USING (moment, feature)
    LEFT JOIN quantities USING (moment, measure)
ORDER BY moment, feature
"""

#: The quantities that are read here, too.
LATENESS = ("last_promise_days_late", "promise_days_late", "most_promise_days_late")

Rows = Iterable[Mapping[str, Any]]
Matrix = npt.NDArray[np.float32]


class SqlOracle:
    """A database in memory that holds one portfolio at a time."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        # Instants without a zone are UTC, whatever the machine is set to.
        self.connection.execute("SET TimeZone = 'UTC'")
        for table in COLUMNS:
            self._fill(table, ())
        self.connection.execute(VIEWS)

    def load(self, portfolio: RawPortfolio) -> None:
        """Take the rows of a portfolio in the place of those before."""
        self._fill("defaults", [{"timezone": portfolio.settings.timezone}])
        for table in ("accounts", "contacts", "payments", "charges", "promises"):
            self._fill(table, portfolio.tables.get(table, ()))

    def load_files(self, folder: Path, settings: PortfolioSettings) -> None:
        """Take the rows of a folder of gzipped CSV in the place of those before, as the database itself reads them."""
        self.load(RawPortfolio(settings, {}))
        for table in ("accounts", "contacts", "payments", "charges", "promises"):
            if (path := folder / f"{table}.csv.gz").exists():
                given = self.connection.execute("FROM read_csv(?, all_varchar = true) LIMIT 0", [str(path)])
                names = [name for name, *_ in given.description or () if name in COLUMNS[table]]
                cells = ", ".join(f'"{name}"' for name in names)
                self.connection.execute(
                    f"INSERT INTO {table} ({cells}) SELECT {cells} FROM read_csv(?, all_varchar = true)", [str(path)]
                )

    def values(self, moments: Sequence[tuple[str, datetime]], features: Sequence[Feature]) -> Matrix:
        """Every feature of every account as of every moment, `(n_moments, n_features)`.

        The features are counts, totals and times since, or the quantities of `LATENESS`.
        """
        self._fill("moments", [_moment(*pair) for pair in enumerate(moments)])
        self._fill("features", [_feature(*pair) for pair in enumerate(features)])
        self._fill("conditions", [row for pair in enumerate(features) for row in _conditions(*pair)])
        found = self.connection.execute(QUERY).fetchnumpy()["value"]
        return np.asarray(found, dtype=np.float32).reshape(len(moments), len(features))

    def _fill(self, table: str, rows: Rows) -> None:
        """Replace the rows of a table."""
        given = list(rows)
        columns = {
            name: pa.array([row.get(name) for row in given], ARROW[kind]) for name, kind in COLUMNS[table].items()
        }
        self.connection.register("given", pa.table(columns))
        self.connection.execute(f"CREATE OR REPLACE TABLE {table} AS FROM given")
        self.connection.unregister("given")


def _moment(place: int, moment: tuple[str, datetime]) -> dict[str, Any]:
    return {"moment": place, "account_id": moment[0], "as_of": moment[1]}


def _feature(place: int, feature: Feature) -> dict[str, Any]:
    measure = feature.measure
    if isinstance(measure, Quantity):
        return {"feature": place, "measure": measure.name}
    assert isinstance(measure, Count | Total | DaysSince)
    return {
        "feature": place,
        "source": measure.events.table,
        "measure": {Count: "count", Total: "total", DaysSince: "since"}[type(measure)],
        "days": None if isinstance(measure, DaysSince) else measure.days,
        "n_conditions": len(measure.events.conditions),
    }


def _conditions(place: int, feature: Feature) -> list[dict[str, Any]]:
    measure = feature.measure
    if isinstance(measure, Quantity):
        return []
    assert isinstance(measure, Count | Total | DaysSince)
    return [
        {"feature": place, "dimension": dimension, "value": value}
        for dimension, values in measure.events.conditions
        for value in values
    ]
