"""Script mode: an image runs a program of the user's, as AWS's open training toolkit does in its images."""
