"""Who calls: what identity modes of our own find out about names and passwords.

Knows no HTTP; `api/auth.py` and its neighbours ask it.
"""
