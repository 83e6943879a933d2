"""An OpenID provider of one's own: a key, its public half over HTTP, and tokens as they are asked for."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

AUDIENCE = "headwater"


class Provider:
    """Serves on a free port of this host; a context manager."""

    def __init__(self) -> None:
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.rotate("first")
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = provider.documents().get(self.path)
                body = json.dumps(found).encode()
                self.send_response(404 if found is None else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"

    def documents(self) -> dict[str, Any]:
        keys = [
            jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "use": "sig"}
            for kid, key in self.keys.items()
        ]
        discovery = {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        return {"/.well-known/openid-configuration": discovery, "/keys": {"keys": keys}}

    def rotate(self, kid: str) -> None:
        """Sign with a new key, and forget those before."""
        self.keys = {kid: ec.generate_private_key(ec.SECP256R1())}

    def token(self, name: str = "token.analyst", **changes: Any) -> str:
        """A token; a claim that is None is left out."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": name,
            "iat": now,
            "exp": now + 300,
            "groups": ["analysts"],
            "scope": "clickhouse:* mcp:* api:*",
        }
        claims |= changes
        kid, key = next(iter(self.keys.items()))
        given = {claim: value for claim, value in claims.items() if value is not None}
        return jwt.encode(given, key, "ES256", {"kid": kid})

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
