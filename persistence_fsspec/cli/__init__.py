"""The command ``persist``: arguments in, library calls, pictures out."""
