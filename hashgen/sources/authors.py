"""Hashes that distinguish authors but identify nobody, keyed with a secret that never leaves this machine."""

import hashlib
import secrets
from pathlib import Path

from filelock import FileLock

from hashgen.base.errors import HashgenError
from hashgen.base.files import atomic_file

_SALT_BYTES = 32


def hash_author(author: str | None, salt: bytes | None) -> str | None:
    """A name that distinguishes authors without identifying them: keyed BLAKE2b, 32 hex digits.

    salt: at most 64 bytes; None where authors are not kept. None also for an unknown author.
    """
    if author is None or salt is None:
        return None
    return hashlib.blake2b(author.encode(), key=salt, digest_size=16).hexdigest()


def read_salt(home: Path) -> bytes:
    """The secret of this machine that author hashes are keyed with: 32 bytes in `home/salt`, made on first use.

    Readable by its owner alone. Raises HashgenError if `home` cannot be written to or the file is damaged.
    """
    path = home / "salt"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / "salt.lock"):
            if not path.exists():
                with atomic_file(path) as partial:
                    partial.touch(mode=0o600)
                    partial.write_bytes(secrets.token_bytes(_SALT_BYTES))
        salt = path.read_bytes()
    except OSError as error:
        raise HashgenError(f"{path}: {error.strerror or error}; choose a writable folder with --home") from error
    if len(salt) != _SALT_BYTES:
        raise HashgenError(f"{path}: damaged; restore it, or delete it (author hashes will then differ from before)")
    return salt
