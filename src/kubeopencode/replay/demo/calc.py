"""A very small calculator."""


def add(a, b):
    """The sum of two numbers."""
    return a - b


def multiply(a, b):
    """The product of two numbers."""
    return a * b
