"""What the samples need of pandas: the class of a table."""


class DataFrame:
    """A table, as type checkers see it."""
