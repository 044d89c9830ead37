"""Secrets by reference, patience by policy, and hearing of what happens: no service needed."""

from __future__ import annotations

import os
import pickle

from persistence_fsspec import Event, FSSpecPersistence, InvalidOptionError, Policy, SecretReference, on_event


def tell(event: Event) -> None:
    """Print what happens inside; a monitoring system would count it."""
    print(f"[{event.name}] {event.message}")


def main() -> None:
    """Everything a long job on many machines wants to decide once."""
    os.environ["INBOX_PASSWORD"] = "only in the environment"
    stop_telling = on_event(tell)

    # A reference travels; the secret stays where it is.
    inbox = FSSpecPersistence(
        "ftp://files.invalid/inbox",
        storage_options={"username": "me", "password": SecretReference(env="INBOX_PASSWORD")},
        policy=Policy(attempts=2, backoff_seconds=0.01, timeout_seconds=10),
    )
    travelled = pickle.loads(pickle.dumps(inbox))  # as spawn, dask and ray do
    print("secret in the pickle:", b"only in" in pickle.dumps(inbox))

    # Nothing listens there: two attempts, and one honest error.
    try:
        travelled.exists("report.pdf")
    except ConnectionError as error:
        print("given up:", type(error).__name__)

    # A misspelt option never gets so far.
    try:
        FSSpecPersistence("ftp://files.invalid/inbox", storage_options={"usrname": "me"}).exists("report.pdf")
    except InvalidOptionError as error:
        print(error.message)
    stop_telling()


if __name__ == "__main__":
    main()
