"""The workbench: it finds the labs, runs the learner's file, asks the account and renders the verdict.

It knows the stage only by its command and by AWS's own protocol, never by import, so that the same checks
judge the local stage and a real account.
"""

__version__ = "0.1.0"
