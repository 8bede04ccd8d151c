"""The tests, by kind: a folder each."""
