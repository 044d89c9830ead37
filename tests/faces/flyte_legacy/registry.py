"""What installing and uninstalling changes in flytekit's registries; prints it as JSON."""

import json
import os
import sys

import flytekit  # loads our entry point

DRIVERS_LOADED = [name for name in ("s3fs", "gcsfs", "adlfs", "botocore", "aiohttp", "paramiko") if name in sys.modules]

import pandas as pd
from flytekit.core.data_persistence import DataPersistencePlugins
from flytekit.types.structured.structured_dataset import StructuredDatasetEncoder, StructuredDatasetTransformerEngine

from persistence_fsspec import overrides
from persistence_fsspec.faces.flyte import install, uninstall


class Parquet(StructuredDatasetEncoder):
    """Somebody's own, for one protocol."""

    def __init__(self):
        super().__init__(pd.DataFrame, "memory", "parquet")

    def encode(self, ctx, structured_dataset, structured_dataset_type):
        raise NotImplementedError


class Own(flytekit.DataPersistence):
    """Somebody's own, for one protocol."""


def now():
    """Both registries, in their order."""
    engine = StructuredDatasetTransformerEngine
    tables = {"encoders": engine.ENCODERS, "decoders": engine.DECODERS}
    return {
        "classes": [[protocol, cls.__name__] for protocol, cls in DataPersistencePlugins._PLUGINS.items()],
        "defaults": [str(one) for one in engine.DEFAULT_PROTOCOLS.items()],
        **{
            name: {
                frame.__name__: {
                    protocol: {form: type(one).__name__ for form, one in found.items()} for protocol, found in by_protocol.items()
                }
                for frame, by_protocol in table.items()
            }
            for name, table in tables.items()
        },
    }


def limited(said):
    os.environ[overrides.VARIABLE] = said
    install()
    found = now()
    uninstall()
    return found


def main():
    print(json.dumps(steps() if install() else {"fresh": now()}))  # noqa: T201 - the answer


def steps():
    found = {"drivers": DRIVERS_LOADED, "installed": now(), "told": [one.as_dict() for one in overrides.active()]}
    uninstall()
    found["uninstalled"] = now()
    found["only s3"] = limited("s3")
    os.environ[overrides.VARIABLE] = "1"
    handler = Parquet()
    StructuredDatasetTransformerEngine.register(handler)
    install()
    found["own handler"] = now()["encoders"]["DataFrame"]["memory"]
    DataPersistencePlugins.register_plugin("s3://", Own, force=True)
    uninstall()
    found["own handler left"] = now()["encoders"]["DataFrame"]["memory"]
    found["own class left"] = dict(now()["classes"])["s3://"]
    return found


main()
