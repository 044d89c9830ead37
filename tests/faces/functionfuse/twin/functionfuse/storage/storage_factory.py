"""The factory knows its kinds by heart, and has no word for others."""


def storage_factory(opt):
    """Make a storage."""
    if opt["kind"] == "file":
        from .filestorage import FileStorage

        return FileStorage(opt["options"]["path"])
    return None
