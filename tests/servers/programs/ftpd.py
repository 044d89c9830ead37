"""FTP server over a folder, for one user; runs in the environment of pyftpdlib."""

import argparse
from typing import ClassVar

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

MACHINE_LISTING = ("MLSD", "MLST")


class ListOnlyHandler(FTPHandler):
    """An older server: a client has to make sense of LIST.

    FEAT leaves MLST out by itself once the commands are gone.
    """

    proto_cmds: ClassVar[dict[str, dict[str, object]]] = {
        name: properties
        for name, properties in FTPHandler.proto_cmds.items()
        if name not in MACHINE_LISTING
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--no-mlsd", action="store_true")
    options = parser.parse_args()

    authorizer = DummyAuthorizer()
    everything = "elradfmwMT"
    authorizer.add_user(options.user, options.password, options.root, perm=everything)
    handler = ListOnlyHandler if options.no_mlsd else FTPHandler
    handler.authorizer = authorizer
    handler.auth_failed_timeout = 0.1  # not three seconds: nobody guesses passwords here
    FTPServer(("127.0.0.1", options.port), handler).serve_forever()


if __name__ == "__main__":
    main()
