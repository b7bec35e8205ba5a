"""Walk-forward: retrain over windows that follow each other, judge all test days together."""
