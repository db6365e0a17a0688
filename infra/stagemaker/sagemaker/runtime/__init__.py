"""SageMaker Runtime: InvokeEndpoint, from the request to the containers and back."""
