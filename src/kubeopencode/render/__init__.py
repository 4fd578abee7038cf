"""Spec to desired objects. Pure: the same input gives the same bytes."""
