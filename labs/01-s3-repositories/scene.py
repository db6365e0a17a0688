"""The end of lab 01: `stagemaker reset 01` takes the lab's bucket away."""

from stagemaker_labs.checking import Account
from stagemaker_labs.clearing import delete_bucket


def strike(account: Account) -> None:
    """Delete LAB_BUCKET with all that it holds."""
    delete_bucket(account)
