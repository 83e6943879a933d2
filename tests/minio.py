"""A real MinIO server for the tests of a lake on S3.

The binary is the one of HEADWATER_TEST_MINIO, or `minio` on the PATH, or one that is built once with Go (3 minutes) and
kept in `tools/` of the downloads. Where there is none and no Go either, the tests are skipped, saying so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pyarrow import fs
from tests.conftest import free_port

from headwater.embedded.downloads import exclusive
from headwater.environment import child_environment, search_path
from headwater.settings import LOOPBACK, get_settings

MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
BUILD_SECONDS = 540.0
BUCKET = "lake"


@dataclass
class Minio:
    """A server that runs, with one bucket."""

    port: int
    folder: Path
    binary: Path
    access_key: str = field(default_factory=lambda: f"key{uuid.uuid4().hex[:12]}")
    secret_key: str = field(default_factory=lambda: uuid.uuid4().hex)
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def settings(self, prefix: str) -> dict[str, str]:
        """The variables of a lake below this prefix."""
        return {
            "HEADWATER_LAKE_URI": f"s3://{BUCKET}/{prefix}",
            "HEADWATER_S3_ENDPOINT": self.endpoint,
            "HEADWATER_S3_ACCESS_KEY": self.access_key,
            "HEADWATER_S3_SECRET_KEY": self.secret_key,
        }

    def start(self) -> None:
        command = [str(self.binary), "server", str(self.folder / "data"), "--quiet"]
        command += ["--address", f"{LOOPBACK}:{self.port}", "--console-address", f"{LOOPBACK}:{free_port()}"]
        account = {"MINIO_ROOT_USER": self.access_key, "MINIO_ROOT_PASSWORD": self.secret_key}
        with (self.folder / "log").open("ab") as log:
            environment = child_environment({**account, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"})
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + 30
        while not self.answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "MinIO does not answer"
            time.sleep(0.1)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/minio/health/live", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """As if its machine had lost its power."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)

    def files(self) -> fs.S3FileSystem:
        """The server as PyArrow sees it."""
        return fs.S3FileSystem(
            access_key=self.access_key,
            secret_key=self.secret_key,
            endpoint_override=self.endpoint,
            region="us-east-1",
            allow_bucket_creation=True,
        )

    def listed(self, prefix: str) -> set[str]:
        """Paths of all files below the prefix, as `s3://…`."""
        found = self.files().get_file_info(fs.FileSelector(f"{BUCKET}/{prefix}", recursive=True, allow_not_found=True))
        return {f"s3://{one.path}" for one in found if one.type == fs.FileType.File}


@contextmanager
def running_minio(folder: Path) -> Iterator[Minio]:
    """A server with its data below `folder`; it ends with the block."""
    server = Minio(free_port(), folder, minio_binary())
    try:
        server.start()
        server.files().create_dir(BUCKET)
        yield server
    finally:
        server.kill()


def minio_binary() -> Path:
    """The server's binary, built where it is missing; skips the test where that cannot be done."""
    given = os.environ.get("HEADWATER_TEST_MINIO") or shutil.which("minio")
    if given:
        return Path(given)
    tools = get_settings().downloads_dir / "tools"
    built = tools / "minio"
    if built.exists():
        return built
    go = shutil.which("go", path=f"{search_path()}:/usr/local/go/bin")
    if go is None:
        pytest.skip("no MinIO: neither HEADWATER_TEST_MINIO, nor `minio` or `go` on the PATH")
    tools.mkdir(parents=True, exist_ok=True)
    with exclusive(tools / ".lock"):
        if not built.exists():
            _build(go, tools)
    return built


def _build(go: str, tools: Path) -> None:
    variables = {"GOBIN": str(tools), "GOFLAGS": "-buildvcs=false"}
    command = ["nice", "-n", "10", go, "install", "-p", "2", MODULE]
    try:
        done = subprocess.run(
            command, env=child_environment(variables), capture_output=True, text=True, timeout=BUILD_SECONDS, cwd=tools
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"no MinIO: `go install {MODULE}` took longer than {BUILD_SECONDS:.0f} s")
    if done.returncode != 0:
        pytest.skip(f"no MinIO: `go install {MODULE}` failed: {done.stderr.strip()[-300:]}")
