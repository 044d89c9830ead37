"""Custom authentication: make the fsspec instance yourself, and let every promise hold for it."""

import fsspec

from persistence_fsspec import FSSpecPersistence


def main() -> None:
    # In real life: a session of your own, a token from your vault, a proxy.
    filesystem = fsspec.filesystem("memory", global_store=False, skip_instance_cache=True)

    persistence = FSSpecPersistence("memory://private", filesystem=filesystem)
    persistence.write_bytes("model.bin", b"weights")
    print(persistence.read_bytes("model.bin").decode(), "at", persistence.url("model.bin"))
    print("publish:", persistence.capabilities().publish)


if __name__ == "__main__":
    main()
