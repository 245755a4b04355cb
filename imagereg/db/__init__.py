"""Metadata in a relational database, through Peewee.

Repositories take and return the frozen values of `model.py`; no row leaves this
room.  Nothing here knows HTTP, stores or policy.
"""
