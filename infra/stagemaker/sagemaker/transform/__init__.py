"""Batch transform jobs, in the control plane."""
