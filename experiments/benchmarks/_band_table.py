"""The band table by one query over the raw ledger and the raw rows of events: written apart from the roll-up."""

from __future__ import annotations

import pandas as pd
import sqlalchemy as sql

from serving.store.database import Store

#: In SQLite alone, of a portfolio whose months are those of `hours` east of Greenwich, without summer time.
BAND_TABLE = """
WITH said AS (
    SELECT s.account_id, s.band, s.p_pay, s.expected_amount, s.balance, a.as_of,
        row_number() OVER (
            PARTITION BY s.account_id, strftime('%Y%m', a.as_of / 1000000 + 3600 * :hours, 'unixepoch')
            ORDER BY s.answer_id, s.position) AS nth
    FROM scores s JOIN answers a ON a.answer_id = s.answer_id
    WHERE a.role = :role AND s.account_id IN (SELECT account_id FROM accounts)),
first_said AS (
    SELECT *, as_of + :horizon AS until FROM said WHERE nth = 1 AND as_of + :horizon + :settling <= :known_until),
followed AS (
    SELECT f.*,
        (SELECT coalesce(sum(amount), 0) / 10000.0 FROM payments p WHERE p.account_id = f.account_id
            AND p.at BETWEEN f.as_of AND f.until - 1
            AND max(p.at, coalesce(p.recorded_at, p.at)) < f.until + :settling) AS paid,
        (SELECT count(*) FROM contacts c WHERE c.account_id = f.account_id AND c.at BETWEEN f.as_of AND f.until - 1
            AND coalesce(c.direction, '') <> 'inbound'
            AND max(c.at, coalesce(c.recorded_at, c.at)) < f.until + :settling) AS contacts
    FROM first_said f)
SELECT band, count(*) AS accounts, sum(balance) AS balance, sum(p_pay) AS predicted_payers,
    sum(paid > 0) AS actual_payers, sum(expected_amount) AS predicted_amount, sum(paid) AS actual_amount,
    sum(contacts) AS contacts, avg(contacts > 0) AS worked_share
FROM followed GROUP BY band ORDER BY band"""


def band_table(store: Store, role: str, hours: int, horizon: int, settling: int, known_until: int) -> pd.DataFrame:
    """The table, its columns named as those of `predicted_against_actual`."""
    values = {"role": role, "hours": hours, "horizon": horizon, "settling": settling, "known_until": known_until}
    with store.reading() as connection:
        found = connection.execute(sql.text(BAND_TABLE), values)
        return pd.DataFrame(found.all(), columns=list(found.keys()))
