"""Review: what was predicted and what followed, for managers.

months.py       months, which are numbers
rollup.py       observations and sums, made from the ledger and the histories as outcomes mature
statements.py   the roll-up's statements, in SQL that both databases understand
intervals.py    actual over expected with its interval, and which of many are beyond noise
reading.py      sums as the tables read them, and what is missing
tables.py       predicted against actual by any cut, calibration and gain
overview.py     a month's parts, key figures and changes
flows.py        liquidation, roll rates, swap set
drift.py        reports of monitoring: alerts, distributions, performance over time
accounts.py     the accounts behind a figure
exporting.py    all tables of a month as CSV, Excel and a page to print
commands.py     `recoup rollup`, `recoup report`
pages/          pages for people under `/review`
"""
