"""Another class of the same name."""


class InvalidPickle(ValueError):  # noqa: N818 - its name there
    """The checksum differs."""
