"""Read objects on the workers of a ray cluster; prints as JSON what came back.

Arguments: URL, user, name of the variable that holds the password, a short
folder for ray's sockets. The password comes on standard input, and only the
workers get it into their environment.
"""

import json
import os
import pickle
import sys

os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")

import ray

from persistence_fsspec import FSSpecPersistence, SecretReference


def main() -> None:
    url, user, variable, folder = sys.argv[1:]
    password = sys.stdin.read()
    here = FSSpecPersistence(url, storage_options={"username": user, "password": SecretReference(env=variable)})
    literal = FSSpecPersistence(url, storage_options={"username": user, "password": password})
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        object_store_memory=100_000_000,
        _node_ip_address="127.0.0.1",
        _temp_dir=folder,
        runtime_env={"env_vars": {variable: password}},
    )
    read_there = ray.remote(lambda persistence, name: persistence.read_bytes(name))
    read = ray.get([read_there.remote(here, name) for name in ("0", "1", "2", "3")])
    try:
        ray.get(read_there.remote(here, "missing"))
    except Exception as exc:
        error = str(exc)
    try:
        ray.get(read_there.remote(literal, "0"))
    except Exception as exc:
        refused = f"{type(exc).__name__}: {exc} {exc.__cause__}"
    else:
        refused = "not refused"
    ray.shutdown()
    told = {"read": [one.decode() for one in read], "error": error, "refused": refused}
    print(json.dumps({**told, "here": variable in os.environ, "pickle": pickle.dumps(here).hex()}))


if __name__ == "__main__":
    main()
