"""AWS's open training and serving toolkits: an image runs a program of the user's, or serves the user's handlers."""
