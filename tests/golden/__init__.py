"""Bytes that must never change: wire messages and databases of older versions."""
