"""The fixtures that the plugin gives to a lab's checks."""

from __future__ import annotations

import pytest

from stagemaker_labs.checking import Account
from stagemaker_labs.judge import Judge


@pytest.fixture(scope="module")
def account(request: pytest.FixtureRequest) -> Account:
    """The account that is judged, as the learner sees it; one for each lab."""
    judge = request.config.pluginmanager.get_plugin(Judge.NAME)
    assert isinstance(judge, Judge)
    trial = judge.trial_of(request.path)
    assert trial is not None
    assert trial.account is not None, "no check is set up without an account: judge refuses it"
    return trial.account
