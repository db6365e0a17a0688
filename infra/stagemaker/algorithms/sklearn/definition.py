"""What the service must know of the scikit-learn image, as plain data that costs nothing to import.

Source: the image table of AWS's open SDK and the Dockerfiles of `sagemaker-scikit-learn-container`.
"""

from __future__ import annotations

from collections.abc import Mapping

TAGS: Mapping[str, tuple[str, ...]] = {
    "sagemaker-scikit-learn": ("0.20.0", "0.23-1", "1.0-1", "1.2-1", "1.4-2"),
}
"""The image tags of each repository that are emulated. The SDK adds `-cpu-py3` to all of them.

One scikit-learn stands behind all tags, the one that is installed beside the stage; the log of each job and
server says which. So a program that needs a removed interface, or a model that another release has pickled,
may do here what it would not do on AWS, and the other way round.
"""
