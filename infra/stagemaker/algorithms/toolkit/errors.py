"""How a job in script mode fails."""

from __future__ import annotations

from typing import ClassVar

from stagemaker.contract.failure import FailureClass


class ScriptError(Exception):
    """The job ends with exit code `code`; the text is for FailureReason, and `kind` says whose fault it is."""

    kind: ClassVar[FailureClass] = FailureClass.ALGORITHM

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class ClientError(ScriptError):
    """The code cannot be had or is not what the hyperparameters say."""

    kind = FailureClass.CLIENT


class ExecuteUserScriptError(ScriptError):
    """The user's program ended with an exit code other than 0."""

    def __init__(self, command: str, code: int, message: str) -> None:
        # 137 is 128 + SIGKILL, which on an instance is nearly always the kernel short of memory.
        extra = '\nExtraInfo "OutOfMemory: Process killed by SIGKILL (signal 9)"' if code == 137 else ""
        super().__init__(
            f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{message}"{extra}\nCommand "{command}"', code
        )
