"""Training jobs: create, stop, delete, and what a job's record means for its document."""
