"""The error of data that are not as they must be."""


class DataError(ValueError):
    """Something is wrong with the user's data; the message says what, where, and what mends it."""
