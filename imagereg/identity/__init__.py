"""Who calls: what identity modes of our own find out about passwords and tokens.

Answers no HTTP; `api/auth.py` and its neighbours ask it.
"""
