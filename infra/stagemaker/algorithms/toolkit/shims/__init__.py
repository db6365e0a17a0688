"""Packages of AWS's images that users' programs import."""

from pathlib import Path

FOLDER = str(Path(__file__).parent)
"""What goes on the import path."""
