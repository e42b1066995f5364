"""The store: histories to score by id, the ledger of every score given, overrides and keys; SQLite or PostgreSQL.

database.py    a store by its URL: connections, transactions, migrations
schema.py      the tables
migrations/    how an older store becomes one of today, by Alembic
"""
