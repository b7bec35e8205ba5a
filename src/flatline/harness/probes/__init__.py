"""Probes run the subject and return numbers; they judge nothing."""
