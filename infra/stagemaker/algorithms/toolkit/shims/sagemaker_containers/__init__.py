"""Names that users' programs import from AWS's `sagemaker-containers`, which its images carry; no more than those.

The folder above this package is on the import path of users' programs and of their handlers.
"""
