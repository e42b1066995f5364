"""The model in service: who is served, how a promotion reaches the workers, and how a challenger is tried unseen.

pointer.py     the small file that says which bundles are in service
watcher.py     beside the workers: follows the registry and writes that file
seen.py        beside the pointer: what the registry holds, for the page of models
engines.py     in each worker: follows the file and holds what answers requests
shadow.py      in each worker: scores by the challenger, behind the answers
"""
