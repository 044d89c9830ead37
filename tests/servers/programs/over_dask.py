"""Read objects on the workers of a dask cluster; prints as JSON what came back.

Arguments: URL, user, name of the variable that holds the password. The password
comes on standard input, and only the workers get it into their environment.
"""

import json
import os
import pickle
import sys

from distributed import Client, LocalCluster

from persistence_fsspec import FSSpecPersistence, SecretReference


def main() -> None:
    url, user, variable = sys.argv[1:]
    password = sys.stdin.read()
    here = FSSpecPersistence(url, storage_options={"username": user, "password": SecretReference(env=variable)})
    literal = FSSpecPersistence(url, storage_options={"username": user, "password": password})
    workers = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "env": {variable: password}}
    with LocalCluster(host="127.0.0.1", dashboard_address=None, **workers) as cluster, Client(cluster) as client:
        read = client.gather(client.map(here.read_bytes, ["0", "1", "2", "3"]))
        error = str(client.submit(here.read_bytes, "missing").exception())
        try:
            client.submit(literal.read_bytes, "0").result()
        except Exception as exc:
            refused = f"{type(exc).__name__}: {exc} {exc.__cause__}"
        else:
            refused = "not refused"
    told = {"read": [one.decode() for one in read], "error": error, "refused": refused}
    print(json.dumps({**told, "here": variable in os.environ, "pickle": pickle.dumps(here).hex()}))


if __name__ == "__main__":
    main()
