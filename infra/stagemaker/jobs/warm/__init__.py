"""Kept instances: processes that have imported a library and become the runner of one job after the other."""
