"""Script mode and serving with scikit-learn: the inside of the `sagemaker-scikit-learn` image.

`python -m stagemaker.algorithms.sklearn train` and `... serve` are what the image runs. There is no built-in
algorithm in it: `train` runs a program of the user's and `serve` the user's handlers. Of this package only
`definition` is for the service's side; it imports nothing.
"""
