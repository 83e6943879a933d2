"""Who may do what: the endpoint's users, and the engine roles that hold them to it.

chDB has one engine user and no CREATE USER, but it reads roles from a users file and honours `SET ROLE` on each
connection. So the endpoint checks the password and the engine checks the grants: no role is granted a source,
which takes file(), url(), s3() and their kin from all. What needs no grant in the engine (the scalar function
`file`, chDB's `python`) is refused by `statements.refuse_forbidden_functions`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

from headwater.policy.model import Caller
from headwater.warehouse.embedded.errors import EndpointError

WRITER_ROLE = "headwater_writer"
READER_ROLE = "headwater_reader"
EXTERNAL_ROLE = "headwater_external"
"""Makes the temporary table for data that comes with a query, and may do nothing else, whoever asks."""

WRITER_GRANTS = (
    "SELECT, INSERT, ALTER, CREATE, DROP, TRUNCATE, OPTIMIZE, SHOW, dictGet, KILL QUERY, CHECK, TABLE ENGINE, "
    "SYSTEM DROP CACHE, SYSTEM RELOAD, SYSTEM FLUSH, SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM VIEWS ON *.*"
)


@dataclass(frozen=True)
class Caps:
    """The most rows, bytes and seconds of an answer, where a user has less than any reader."""

    rows: int
    bytes: int
    seconds: int


@dataclass(frozen=True)
class Member:
    """Whom the policy let in, and which policy it was."""

    caller: Caller
    policy_version: str


@dataclass(frozen=True)
class User:
    """One login of the endpoint. `readonly` users run with ClickHouse's readonly=1 and the endpoint's caps.

    One whom the policy gave a role reads that role's `database` and nothing else; `attributes` is the JSON that the
    database's views read. `member` is who is to be named on the audit trail, unless a surface has done so.
    `counts` says that one is told how many rows were read: through a surface that asks only datasets, and where
    the role sees every row of all of them.
    """

    name: str
    password: str
    readonly: bool
    database: str = ""
    attributes: str = ""
    caps: Caps | None = None
    member: Member | None = field(default=None, compare=False, repr=False)
    counts: bool = False

    @property
    def role(self) -> str:
        """The engine role whose grants apply; a role of the policy is named as its database."""
        if self.database:
            return self.database
        return READER_ROLE if self.readonly else WRITER_ROLE


class Users:
    """The logins, and the check of what a request brings."""

    def __init__(self, users: Sequence[User]) -> None:
        self._users = {user.name: user for user in users}

    def __contains__(self, name: str) -> bool:
        return name in self._users

    def authenticate(self, headers: Mapping[str, str], params: Mapping[str, str]) -> User:
        """The user of a request, by X-ClickHouse-User/-Key, HTTP Basic, or `user` and `password` in the URL.

        Raises AUTHENTICATION_FAILED with the same text for an unknown user and for a wrong password.
        """
        name, password = credentials(headers, params)
        user = self._users.get(name)
        expected = user.password if user else ""
        right = hmac.compare_digest(expected.encode(), password.encode())
        if user is None or not right:
            raise wrong_credentials(name)
        return user


def wrong_credentials(name: str) -> EndpointError:
    """The one answer to whoever is not known."""
    return EndpointError(
        "AUTHENTICATION_FAILED",
        f"{name}: Authentication failed: password is incorrect, or there is no user with such name.",
    )


def credentials(headers: Mapping[str, str], params: Mapping[str, str]) -> tuple[str, str]:
    """Name and password of a request; no name with a bearer, which tells by itself whose it is.

    Raises AUTHENTICATION_FAILED for a header that cannot be read.
    """
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", "")
    authorization = headers.get("authorization", "")
    if authorization[:6].lower() == "basic ":
        try:
            name, _, password = base64.b64decode(authorization[6:], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise EndpointError("AUTHENTICATION_FAILED", "Invalid HTTP Basic authorization header.") from error
        return name or "default", password
    if authorization[:7].lower() == "bearer ":
        return "", authorization[7:].strip()
    return params.get("user", "default"), params.get("password", "")


def write_engine_files(data_dir: Path, reader_databases: Sequence[str], role_databases: Sequence[str] = ()) -> Path:
    """Write the engine's configuration under `data_dir`; returns the file for `config-file`. Call before it starts.

    Each of `role_databases` gets a role of its name that reads it and nothing else.

    The database `default` is made an ordinary Atomic one. chDB would make it an overlay with the file system, in which
    an unknown table name is a file name. Its symlink is removed first: chDB takes the id behind it for its overlay
    (which is renamed `_local`), and aborts when it then loads `default` with the same id.
    """
    metadata = data_dir / "metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    definition = metadata / "default.sql"
    if not definition.exists():
        definition.write_text(f"ATTACH DATABASE _ UUID '{uuid.uuid4()}'\nENGINE = Atomic\n")
    (metadata / "default").unlink(missing_ok=True)
    users_file = data_dir / "users.xml"
    users_file.write_text(_users_xml(reader_databases, role_databases))
    config_file = data_dir / "config.xml"
    config_file.write_text(
        "<clickhouse>\n"
        f"  <users_config>{escape(str(users_file))}</users_config>\n"
        "  <default_database>_local</default_database>\n"
        "</clickhouse>\n"
    )
    return config_file


def _users_xml(reader_databases: Sequence[str], role_databases: Sequence[str]) -> str:
    reader = "".join(f"<query>GRANT SELECT, dictGet ON {escape(name)}.*</query>" for name in reader_databases)
    roles = "".join(
        f"<{name}><grants><query>GRANT SELECT ON {name}.*</query></grants></{name}>" for name in role_databases
    )
    granted = "".join(f"<query>GRANT {name}</query>" for name in role_databases)
    return f"""<clickhouse>
  <roles>
    <{WRITER_ROLE}><grants><query>GRANT {WRITER_GRANTS}</query>
    <query>GRANT SET DEFINER ON `default`</query></grants></{WRITER_ROLE}>
    <{READER_ROLE}><grants>{reader}</grants></{READER_ROLE}>
    <{EXTERNAL_ROLE}><grants><query>GRANT CREATE TEMPORARY TABLE ON *.*</query></grants></{EXTERNAL_ROLE}>
    {roles}
  </roles>
  <users>
    <default>
      <password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
      <grants><query>GRANT {WRITER_ROLE}</query><query>GRANT {READER_ROLE}</query>
      <query>GRANT {EXTERNAL_ROLE}</query>{granted}</grants>
    </default>
  </users>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
</clickhouse>
"""
