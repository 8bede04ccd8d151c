"""A gateway in a world of its own: cloud, broker, network, clock, card and hardware are simulated, the daemon is real.

One thread, virtual time, and one seed that decides everything: the same seed is the same history, to the last byte.
`python -m tests.simulation --seed 7 --trace` tells it.
"""
