"""An XT storage service on any URL: what XT's four lines of YAML make of it, and what XT does with it.

    external-services:
        mystore: {type: "storage", provider: "store-fsspec", path: "s3://my-bucket/xt"}
    xt-services: {storage: "mystore"}
    providers: {storage: {"store-fsspec": "persistence_fsspec.faces.xt.FSSpecStore"}}

Run it with a URL, or without one for a folder here, and with the JSON text of options after it, as in the line `key:`.
It needs no xtlib; where that is installed, XT itself makes the very same calls.
"""

import sys
import tempfile
from importlib import import_module
from pathlib import Path

CODE_PATH = "persistence_fsspec.faces.xt.FSSpecStore"


def main(path: str = "xt-store", key: str = "") -> None:
    record = {"name": "mystore", "type": "storage", "provider": "store-fsspec", "path": path, "key": key}
    module, _, name = CODE_PATH.rpartition(".")
    store = getattr(import_module(module), name)(record)
    print("service:", store.get_service_name())

    # A workspace is a container, and a run is a folder in it.
    store.delete_container("ws-demo")
    print("created:", store.create_container("ws-demo"))
    for run in ("run1", "run2"):
        store.create_blob("ws-demo", f"runs/{run}/__holder__", "1", fail_if_exists=True)
        store.append_blob("ws-demo", f"runs/{run}/run.log", '{"event": "created"}\n')
        store.append_blob("ws-demo", "experiments/lr/run_names.txt", f"{run}\n", append_with_rewrite=True)
    print("runs:", store.list_blobs("ws-demo", "runs/run*", recursive=False))
    print("experiment:", store.get_blob_text("ws-demo", "experiments/lr/run_names.txt").split())
    try:
        store.create_blob("ws-demo", "runs/run1/__holder__", "1", fail_if_exists=True)
    except FileExistsError as error:
        print("as expected:", type(error).__name__)

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.bin")
        model.write_bytes(bytes(range(256)) * 4096)
        store.create_blob_from_path("ws-demo", "runs/run1/model.bin", str(model))
        kept = store.snapshot_blob("ws-demo", "runs/run1/model.bin").snapshot
        store.create_blob("ws-demo", "runs/run1/model.bin", "a later one")
        back, told = Path(folder, "back.bin"), []
        store.get_blob_to_path(
            "ws-demo", "runs/run1/model.bin", str(back), snapshot=kept, progress_callback=lambda *now: told.append(now)
        )
        store.delete_blob("ws-demo", "runs/run1/model.bin", snapshot=kept)
        print("snapshot came back:", back.read_bytes() == model.read_bytes(), told[-1])

    for blob in store.list_blobs("ws-demo", "runs/run1", return_names=False):
        print(f"{blob.properties.content_length:>9}  {blob.properties.last_modified:%Y-%m-%d}  {blob.name}")
    store.delete_container("ws-demo")


if __name__ == "__main__":
    main(*sys.argv[1:])
