"""Checks that go wrong in ways of their own; OTHER_LAB in the stage's variables says which."""

import os
import signal
import time

import pytest


def test_first(account):
    """the account answers"""
    if os.environ.get("AWS_TOY_WAY") == "killed":
        os.kill(int(os.environ["AWS_TOY_PID"]), signal.SIGKILL)
        time.sleep(0.05)
        account.client("s3").list_buckets()
    if os.environ.get("AWS_TOY_WAY") == "fault":
        raise KeyError("a fault of the lab")


def test_second(account):
    """the account answers once more"""


def test_left_out():
    """a check that this target does not ask"""
    pytest.skip("not on a local target")
