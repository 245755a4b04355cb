"""Tests of what others are told: events and the audit record."""
