"""The stage: a local endpoint that speaks AWS's wire protocol and really trains models."""

__version__ = "0.1.0"
