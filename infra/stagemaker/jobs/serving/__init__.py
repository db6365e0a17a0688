"""One instance of a model: its containers, their data, their health."""
