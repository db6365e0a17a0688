"""How a job can end other than well: states, not faults of ours."""

from __future__ import annotations

INTERNAL_ERROR = "InternalServerError: We encountered an internal error. Please try again."


class Ending(Exception):  # noqa: N818 - a state of the job
    """The job does not go on."""


class Failed(Ending):
    """The job ends as Failed with this FailureReason."""


class VolumeFull(Failed):
    """The job has written more than its volume holds; nothing of it is kept."""


class Stopped(Ending):
    """The job ends as Stopped: `secondary` and `message` say why."""

    def __init__(self, secondary: str, message: str) -> None:
        super().__init__(message)
        self.secondary = secondary
        self.message = message


class Interrupted(Ending):
    """The job loses its spot instances and begins anew on others."""


STOPPED_BY_USER = Stopped("Stopped", "Training job stopped")
OUT_OF_TIME = Stopped("MaxRuntimeExceeded", "Training job runtime exceeded MaxRuntimeInSeconds provided")
OUT_OF_WAIT = Stopped("MaxWaitTimeExceeded", "Training job wait time exceeded MaxWaitTimeInSeconds provided")
INTERRUPTED = Interrupted()
