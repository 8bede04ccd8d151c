"""Small mistakes, put into the modules that verify, decide, keep time and synchronise: the tests must notice them.

`make mutants` makes every mistake that `mutations` knows, one at a time, and runs the module's own tests on each. The
libraries there are do not fit: mutmut 3 leaves out what stands in no function (constants, SQL) and what is decorated
(properties, caches), and cosmic-ray starts Python anew for each of a dozen replacements of every operator.
"""
