"""requirements.txt in script mode: nothing is installed, so it is checked."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from stagemaker.algorithms.toolkit.errors import ClientError
from stagemaker.algorithms.toolkit.requirements import check_requirements

NUMPY = version("numpy")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n\n",
        f"numpy=={NUMPY}  # the very one\n",
        "NumPy>=1,<100\nscikit_learn\n",
        "numpy[extra]>=1 --hash=sha256:abc\n",
        "--index-url https://example.com/simple\nnumpy\n",
        "no-such-package-here; python_version < '3'\n",
        "numpy>=1, \\\n  <100\n",
        "-r more.txt\n",
        "-rmore.txt\n",
        "--requirement=more.txt\n",
        "numpy\n-c bounds.txt\n",
        "\ufeffnumpy\r\npandas\r\n",
    ],
)
def test_requirements_that_are_met(tmp_path: Path, text: str) -> None:
    """What is installed in the asked version, or not asked for on this machine, lets the job go on."""
    (tmp_path / "requirements.txt").write_text(text, newline="")
    (tmp_path / "more.txt").write_text("pandas\n")
    (tmp_path / "bounds.txt").write_text("numpy<100\nno-such-package-here==1\n")
    check_requirements(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no-such-package-here>=1", "no-such-package-here is missing"),
        ("numpy<1", f"numpy<1 is asked for, and {NUMPY} is installed"),
        ("numpy\nnumpy==0.1\nno-such-package-here", "numpy==0.1 is asked for"),
        ("numpy @ https://example.com/numpy.whl", "numpy is to come from https://example.com/numpy.whl"),
        ("git+https://example.com/x.git", "is no name and version of a package"),
        ("-e .", "is no name and version of a package"),
        ("./wheels/x.whl", "is no name and version of a package"),
        ("-r ../outside.txt", "names ../outside.txt, which is not in the code"),
        ("-r requirements.txt", "names requirements.txt, which is not in the code"),
        ("-r gone.txt", "gone.txt cannot be read"),
        ("-c bounds.txt", "numpy<1 is asked for"),
    ],
)
def test_requirements_that_are_not_met(tmp_path: Path, text: str, words: str) -> None:
    """Each one is named, with what is there instead: a job never trains with other libraries than it asked for."""
    folder = tmp_path / "code"
    folder.mkdir()
    (tmp_path / "outside.txt").write_text("")
    (folder / "bounds.txt").write_text("numpy<1")
    (folder / "requirements.txt").write_text(text)
    with pytest.raises(ClientError) as caught:
        check_requirements(folder)
    assert words in str(caught.value)


def test_no_requirements(tmp_path: Path) -> None:
    """Nothing is asked for."""
    check_requirements(tmp_path)
