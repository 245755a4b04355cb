"""Who may create, read, update and delete a custom property.

Pure: what a policy rule answers comes in as a callable, so this room knows
neither the rule language nor HTTP nor the database.

`ini.py` reads the file's syntax, `rules.py` turns it into ordered sections and
refuses every fault at once, `probe.py` keeps slow patterns out, `guard.py`
answers for all names at once and follows the file, `patterns.py` and `lint.py`
tell an author where a file does not do what it seems to.
"""
