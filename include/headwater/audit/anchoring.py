"""Checkpoints: how far the chain was and what its last hash was, signed, in a file outside the database.

One line each in `<home>/audit/checkpoints.jsonl`, which is only ever appended to and is chained itself. Signed with
Ed25519; the key is `<home>/audit/signing.pem` or the setting's, made at the first use. Who can change database, file
and key can rewrite history: copy the file to where it cannot be changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from headwater.errors import ConfigurationError, TerminalError
from headwater.settings import Settings

log = logging.getLogger(__name__)

TAIL_BYTES = 4096
_PEM = serialization.Encoding.PEM


class AnchorBroken(TerminalError):
    """The file of checkpoints is not as it was written."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Entry `sequence` had this hash (hex). `previous` is the SHA-256 of the line before, of nothing for the first."""

    number: int
    sequence: int
    hash: str
    at: str
    previous: str


class Anchor:
    """The file and the key. Several processes may append."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.home / "audit" / "checkpoints.jsonl"
        self._key_path = settings.audit_signing_key or settings.home / "audit" / "signing.pem"
        self._key: Ed25519PrivateKey | None = None

    def append(self, sequence: int, digest: bytes) -> Checkpoint:
        """Sign and write that the chain was so far. Raises `OSError`, `ConfigurationError` for a key that is none."""
        key = self._signing_key()
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _cut_torn(file.fileno(), self.path)
            last = _last_line(file.fileno())
            number = json.loads(last)["number"] + 1 if last else 1
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            made = Checkpoint(number, sequence, digest.hex(), now, hashlib.sha256(last).hexdigest())
            signature = key.sign(_signed(made)).hex()
            file.write(json.dumps({**asdict(made), "signature": signature}).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return made

    def checkpoints(self, public: Ed25519PublicKey | None = None) -> Iterator[Checkpoint]:
        """All of them, oldest first. Raises `AnchorBroken` at the first that is not as it was written.

        What follows the last line's end is none: whoever wrote it did not come to the end of it.
        """
        if not self.path.exists():
            return
        public = public or self._signing_key().public_key()
        with self.path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            *lines, _ = file.read().split(b"\n")
        before = b""
        for number, line in enumerate(lines, 1):
            found = _checked(line, public, f"{self.path}:{number}")
            if found.number != number or found.previous != hashlib.sha256(before).hexdigest():
                raise AnchorBroken("a checkpoint before this one is missing or changed", where=f"{self.path}:{number}")
            before = line
            yield found

    def public_pem(self) -> bytes:
        """The public key, for whoever verifies elsewhere."""
        return self._signing_key().public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def _signing_key(self) -> Ed25519PrivateKey:
        if self._key is None:
            self._key = _load(self._key_path) if self._key_path.exists() else _make(self._key_path)
        return self._key


def public_key(path: Path) -> Ed25519PublicKey:
    """A public key from its PEM. Raises `ConfigurationError`."""
    try:
        found = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _no_key(path) from error
    if not isinstance(found, Ed25519PublicKey):
        raise _no_key(path)
    return found


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        found = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise _no_key(path) from error
    if not isinstance(found, Ed25519PrivateKey):
        raise _no_key(path)
    return found


def _make(path: Path) -> Ed25519PrivateKey:
    """A new key, whole and for its owner alone; where another process was faster, that one's."""
    made = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = made.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    mine = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        os.fsync(file.fileno())
    try:
        path.hardlink_to(mine)
    except FileExistsError:
        return _load(path)
    finally:
        mine.unlink()
    return made


def _no_key(path: Path) -> ConfigurationError:
    return ConfigurationError(
        "it is no Ed25519 key in PEM", where=str(path), remedy="restore it, or set HEADWATER_AUDIT_SIGNING_KEY"
    )


def _cut_torn(descriptor: int, path: Path) -> None:
    """Take off the line that a process began and did not end: it died, or the disk was full."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    if torn:
        log.warning("%s: the last checkpoint was not written to its end; its %d bytes are cut off", path, torn)
        os.ftruncate(descriptor, size - torn)


def _last_line(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
    return tail.rstrip(b"\n").rpartition(b"\n")[2]


def _signed(checkpoint: Checkpoint) -> bytes:
    return b"headwater audit\n" + json.dumps(asdict(checkpoint), sort_keys=True).encode()


def _checked(line: bytes, public: Ed25519PublicKey, where: str) -> Checkpoint:
    try:
        given = json.loads(line)
        signature = bytes.fromhex(given.pop("signature"))
        found = Checkpoint(**given)
        public.verify(signature, _signed(found))
    except (ValueError, KeyError, TypeError, AttributeError, InvalidSignature) as error:
        raise AnchorBroken("a checkpoint is not as it was signed", where=where) from error
    return found
