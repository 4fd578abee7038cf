"""A very small calculator."""


def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a - b


def multiply(a: int, b: int) -> int:
    """The product of two numbers."""
    return a * b
