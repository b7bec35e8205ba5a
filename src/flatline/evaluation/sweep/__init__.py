"""Searching settings: a space, its trials, the best of them."""
