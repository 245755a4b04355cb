"""Stores against rows, both ways: what `imagereg store` finds, and what it mends.

Safe beside servers that run: whatever is found is looked at again before it is told,
and once more, inside a transaction, before it is changed.

Source: contract stores S-15; issues 5 and 6 on what a crash may leave.
"""
