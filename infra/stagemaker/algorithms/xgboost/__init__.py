"""Built-in XGBoost: the inside of the `sagemaker-xgboost` image.

`python -m stagemaker.algorithms.xgboost train` and `... serve` are what the image runs. The program
knows the container contract (`stagemaker.contract`) and third-party libraries, nothing else. Of this
package only `definition` is for the service's side; it imports nothing.
"""
