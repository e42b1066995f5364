"""The channel ladder: which channels are open to an account at its age and balance, and what to do at its end.

    policy.py       a ladder and its end as a readable file: rungs, thresholds, terms of an agency and a lawyer
    rungs.py        which rungs are open to which accounts as of a moment, and why the others are not
    describing.py   a ladder in words

A ladder is a rule of the house, and no contact rule: what it closes is not proposed, and is not held back.
"""
