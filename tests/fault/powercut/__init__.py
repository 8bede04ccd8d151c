"""The power goes while the agent works: every state that may leave on the card, rebuilt and judged.

Read in this order: `recording` (the real agent under strace), `disk` (what a cut leaves of what it wrote), `wire` (what
it had told the world by then), `remains` (what the files say), `chronicle` (what they must say), `judge`, and `cuts`,
which tries them. docs/decisions/0011-power-cuts.md says what the model covers, and what it does not.
"""
