"""What is raised for a result that is not whole."""


class InvalidPickle(ValueError):  # noqa: N818 - its name there
    """The checksum differs."""
