"""The contract between SageMaker and a container: paths, variables and file formats.

Standard library only. Both sides of the contract import it: `jobs` prepares what a container finds,
`algorithms` are the programs inside. Source: the SageMaker developer guide, "How Amazon SageMaker
provides training information" and "How Amazon SageMaker processes training output".
"""
