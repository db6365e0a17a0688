"""The insides of the images: programs that know the container contract and nothing above it."""
