"""From settings to a trained and judged run: assemble, train, predict, compare."""
