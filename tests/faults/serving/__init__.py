"""Faults of who is let in, who decides and what is on record.

A package, so that what its fixtures start and set ends with its last test and not with the session.
"""
