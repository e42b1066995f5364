"""The channel ladder: which channels are open to an account at its age and balance, and what to do at its end.

    policy.py       a ladder and its end as a readable file: rungs, thresholds, terms of an agency and a lawyer
    rungs.py        which rungs are open to which accounts as of a moment, and why the others are not
    describing.py   a ladder in words
    liquidation.py  what accounts like one paid in the days that followed, and what that cost
    advice.py       what is expected of keeping, an agency, a lawyer and a write-off at the end of the ladder
    commands.py     `recoup advise`

A ladder is a rule of the house, and no contact rule: what it closes is not proposed, and is not held back.
"""
