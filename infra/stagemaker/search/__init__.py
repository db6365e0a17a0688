"""The search of automatic model tuning, as pure functions: ranges and finished trials in, the next values out.

Nothing here knows of jobs, documents or files. A trial is rebuilt from what the caller kept, so a search can go on
in another process at any point.
"""
