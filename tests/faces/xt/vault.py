"""Whether XT finds our options in its vault; prints the name of the service, as JSON. Arguments: path, what the vault says."""

import json
import sys

import xt_here  # beside this program, and first
from xtlib.storage.store import Store


class Vault:
    """Answers for Azure's, which cannot be had here; XT asks it by the name of a service."""

    def get_secret(self, name):
        return sys.argv[2] if name == "mystore" else None


config = xt_here.configure(sys.argv[1], "$vault")
config.vault = Vault()
print("\n" + json.dumps(Store(config=config).get_name()))  # noqa: T201 - the answer, on a line of its own
