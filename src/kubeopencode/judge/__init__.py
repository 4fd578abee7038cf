"""Observed to verdict. Pure: the clock is an argument."""
