"""Packages of AWS's image that users' programs import, beside those that all its images have."""

from pathlib import Path

FOLDER = str(Path(__file__).parent)
"""What goes on the import path."""
