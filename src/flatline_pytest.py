"""The pytest plugin: markers and options; loads without torch."""
