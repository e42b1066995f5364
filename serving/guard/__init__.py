"""What stands before every request: who asks, how much, and what is seen of it afterwards.

keys.py         keys: secrets, scopes, and the keys a worker knows of
access.py       who may call what: rules by endpoint, keys, and what is open on this machine alone
sessions.py     sessions of browsers: a signed cookie that stands for a key
limits.py       how much: requests a second by key, requests and bytes at once
ids.py          an id for every request
headers.py      headers that every answer carries
logs.py         one line of JSON for every request, without what was in it
mapped.py       files that workers map into memory
metrics.py      figures for Prometheus, summed over the workers
middleware.py   the guard: all of it, in order, around an ASGI application
checks.py       what is checked before the service starts, one line each
commands.py     the verb `recoup keys`
"""
