"""Models as programs for other runtimes, checked against the model."""
