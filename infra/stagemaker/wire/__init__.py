"""AWS's wire protocols and validation, once, driven by botocore's service models.

Every service of ours (SageMaker, CloudWatch, Logs ...) is an `Api`: a model and a table of handlers.
Handlers see plain Python values named as the API names them: timestamps are aware datetimes in UTC,
blobs are bytes, absent members are absent.
"""
