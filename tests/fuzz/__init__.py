"""Whatever may come in, made by a fuzzer that sees which lines of a parser it reaches."""
