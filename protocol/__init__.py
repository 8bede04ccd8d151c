"""The wire: topics, messages, vocabularies and the rules both ends share. No I/O, no clock, no SQL."""

CONTRACT = 1
"""Version of the contract this package speaks; `state` announces it."""
