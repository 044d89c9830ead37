"""Logins that raw output prefixes brought, by the root of their store.

flytekit writes the names that it makes of a prefix into its database and its
logs, so these carry no password. Whoever reads them in this process finds it here.
"""

from __future__ import annotations

from dataclasses import replace

from persistence_fsspec.location import Location

_known: dict[str, str] = {}


def remember(place: Location) -> None:
    """Keep its login, in place of the one before."""
    _known[place.root] = place.userinfo


def completed(place: Location) -> Location:
    """The same place with the login that was kept for its root; its own one comes first."""
    return place if place.userinfo else replace(place, userinfo=_known.get(place.root, ""))
