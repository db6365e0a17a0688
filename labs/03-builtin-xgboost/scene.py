"""The end of lab 03: `stagemaker reset 03` takes the lab's bucket away.

Training jobs cannot be deleted: the checks leave out those of before the reset.
"""

from stagemaker_labs.checking import Account
from stagemaker_labs.clearing import delete_bucket


def strike(account: Account) -> None:
    """Delete LAB_BUCKET with all that it holds."""
    delete_bucket(account)
