"""Review: what was predicted and what followed, for managers.

rollup.py       observations and sums, made from the ledger and the histories as outcomes mature
statements.py   the roll-up's statements, in SQL that both databases understand
intervals.py    actual over expected with its interval, and which of many are beyond noise
tables.py       the tables of the review pages, from sums alone
commands.py     `recoup rollup`, `recoup report`
"""
