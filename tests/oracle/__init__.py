"""An independent oracle: what the contract says of a list, told one person at a time with dictionaries alone.

Nothing here imports the code under test, but for `store`, which drives it, and looks at it from outside.
"""
