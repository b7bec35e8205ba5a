"""Benchmarks are run by `run.py`; pytest leaves them alone, doctests included."""

collect_ignore_glob = ["*.py"]
