"""Names that users' programs import from AWS's package of this name; no more than those."""
