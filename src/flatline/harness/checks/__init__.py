"""Checks are pure functions from what a probe measured to a verdict."""
