"""Review: what was predicted and what followed, for managers.

pages/          pages for people under `/review`
"""
