"""Contact rules: who may be contacted through which channel, from when on, in which hours, and by which rule not.

    packs.py         rule packs: hours, holidays, limits and waits of a place or trade, as dated and cited data
    restrictions.py  what was noted of an account and forbids contact: deceased, disputes, opt-outs, dead numbers ...
    limits.py        how often: counters per debt and per person, and waits after a conversation
    windows.py       when: the hours of contact in the debtor's time, holidays left out
    rules.py         all of them together: until when each channel is forbidden, by which rules, and when it may be next
    describing.py    the packs in words

Nothing of this is legal advice.
"""
