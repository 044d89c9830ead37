"""SFTP server over a folder, for one user; runs in the environment of asyncssh."""

import argparse
import asyncio
import hmac
import logging
import os
from pathlib import Path

import asyncssh


class PasswordServer(asyncssh.SSHServer):
    """Lets one user in, by password."""

    def __init__(self, user: str, password: str) -> None:
        self._credentials = f"{user}:{password}".encode()

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - asyncssh's signature
        return True  # nobody comes in without

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return hmac.compare_digest(f"{username}:{password}".encode(), self._credentials)


def host_key(path: Path) -> str:
    """Return the file of the host key; a restarted server keeps its identity."""
    if not path.exists():
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(path)
    return str(path)


async def serve(options: argparse.Namespace) -> None:
    root = os.fsencode(options.root)
    listener = await asyncssh.listen(
        "127.0.0.1",
        options.port,
        server_factory=lambda: PasswordServer(options.user, options.password),
        server_host_keys=[host_key(options.host_key)],
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=root),
        # A full SFTP write of paramiko then fits into one SSH packet. With the
        # usual 32 KiB its last bytes travel alone, and wait 40 ms each time for
        # a delayed acknowledgement.
        max_pktsize=64 * 1024,
    )
    await listener.wait_closed()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--host-key", type=Path, required=True)
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
