"""The store: histories to score by id, the ledger of every score given, overrides and keys; SQLite or PostgreSQL.

database.py    a store by its URL: connections, transactions, migrations
schema.py      what all tables share
histories.py   the tables of the histories
portfolio.py   the one portfolio of a store: its settings
events.py      rows are taken in: `take_in`
rows.py        rows as they are stored, with the keys that tell them apart
inserting.py   rows into tables at bulk speed
selecting.py   rows out of them at bulk speed
reading.py     histories to score: `read_histories`, `Book`
sessions.py    sessions of pages that were ended before their time
rollups.py     the tables of the roll-ups behind the review
drift.py       the reports of monitoring behind the review
packed.py      packed histories as bytes
migrations/    how an older store becomes one of today, by Alembic
"""
