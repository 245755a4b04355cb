"""HTTP: Flask and marshmallow, and nothing that decides anything.

A request runs through `dispatch.guarded` before any view: authenticate, find the
target, pass the gate.  Views hold a `Call` whose grant proves it.
"""
