"""A row that has an id has it as its key; the other keys begin with a byte that no id has."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision: str | None = "0003"

_IDS = {"contacts": "contact_id", "payments": "payment_id", "promises": "promise_id"}
_WITHOUT_IDS = ("charges", "restrictions", "decisions")


def upgrade() -> None:
    """Write the keys anew."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    said = "CAST(x'ff' || row_key AS BLOB)" if sqlite else "'\\xff'::bytea || row_key"
    for name, id_ in _IDS.items():
        same = f"CAST({id_} AS BLOB)" if sqlite else f"convert_to({id_}, 'UTF8')"
        op.execute(f"UPDATE {name} SET row_key = CASE WHEN {id_} IS NULL THEN {said} ELSE {same} END")  # noqa: S608 our own names
    for name in _WITHOUT_IDS:
        op.execute(f"UPDATE {name} SET row_key = {said}")  # noqa: S608
    if not sqlite:
        # Room for a row's next version on its own page: every batch writes the rows of its accounts anew.
        op.execute("ALTER TABLE changes SET (fillfactor = 50)")
