"""A later period beside the train period, column by column: statistics that know of days."""
