"""Policies around a `Store`, one per file; each is a `Store` itself."""

from __future__ import annotations

from persistence_fsspec.layers.limit import LimitLayer
from persistence_fsspec.layers.loop import Renew
from persistence_fsspec.layers.readonly import ReadOnlyLayer
from persistence_fsspec.layers.retry import RetryLayer
from persistence_fsspec.layers.timeout import TimeoutLayer
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Store

_AT_HAND = frozenset({"local", "memory"})


def layered(store: Store, policy: Policy, renew: Renew | None = None) -> Store:
    """Put the layers around a store, in the one order they have.

    Innermost first: timeout (ends one attempt), limit (a waiting retry holds no slot), retry, read-only. A store without
    a network between needs only the last of them.

    Args:
        store: What speaks to the driver.
        policy: How patient and how eager.
        renew: Gets new credentials; see `RetryLayer`.
    """
    if store.capabilities.driver not in _AT_HAND:
        store = TimeoutLayer(store, policy)
        store = LimitLayer(store, policy)
        store = RetryLayer(store, policy, renew)
    return ReadOnlyLayer(store) if policy.read_only else store
