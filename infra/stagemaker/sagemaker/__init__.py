"""SageMaker: a resource engine driven by the API's shapes, and one module a family with a meaning of its own."""
