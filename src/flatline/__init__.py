"""flatline: a regression gate for return-prediction models, and the stack it guards."""
