"""An identity provider on this machine: real HTTP, real signatures, and it can lie, be slow, and come back with other keys."""

import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

CLIENT: Final = "llm-settings"
SECRET: Final = "the secret of a registration, 1 + 1"
LOGOUT: Final = "http://schemas.openid.net/event/backchannel-logout"


def sign(claims: Any, key: Any, header: Mapping[str, Any] | None = None) -> str:
    """Return a token that *key* signs; a header without ``alg`` is of RS256."""
    head = {"alg": "RS256", "kid": key.kid, **(header or {})}
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    registry = jws.JWSRegistry(None, [head["alg"]], strict_check_header=False)
    return jws.serialize_compact({k: v for k, v in head.items() if v is not None}, body, key, registry=registry)


def new_key(kid: str = "first") -> RSAKey:
    """Return a key as providers have one."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


def elliptic(kid: str) -> ECKey:
    """Return one of an elliptic curve."""
    return ECKey.generate_key("P-256", {"kid": kid})


class Identity:
    """The provider; ``with Identity() as provider`` serves it.

    Attributes:
        fault: What it does wrong at the path of that name, as ``{"/jwks": "html"}``.
        asked: The paths that it was asked for.
        claims: Of the next id token, besides what each has.
        info: What userinfo answers.
        forms: What came at the token endpoint.
    """

    def __init__(self) -> None:
        self.keys: list[Any] = [new_key()]
        self.fault: dict[str, str] = {}
        self.asked: list[str] = []
        self.claims: dict[str, Any] = {}
        self.info: dict[str, Any] = {}
        self.forms: list[tuple[dict[str, str], str]] = []
        self.said: dict[str, Any] = {}
        self.answer: dict[str, Any] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                outer._get(self)

            def do_POST(self) -> None:
                outer._post(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, **claims: Any) -> str:
        """Return an id token; a claim that is None is left out."""
        return sign(self.named(**claims), self.keys[0])

    def named(self, **claims: Any) -> dict[str, Any]:
        """Return the claims of an id token."""
        now = int(time.time())
        made = {"iss": self.issuer, "aud": CLIENT, "sub": "u1", "iat": now, "exp": now + 300, **self.claims, **claims}
        return {name: value for name, value in made.items() if value is not None}

    def _get(self, handler: Any) -> None:
        path = handler.path.partition("?")[0]
        if path == "/.well-known/openid-configuration":
            at = self.issuer
            said = {"issuer": at, "authorization_endpoint": f"{at}/authorize", "token_endpoint": f"{at}/token"}
            said |= {"jwks_uri": f"{at}/jwks", "userinfo_endpoint": f"{at}/userinfo"}
            self._send(handler, path, said | {"end_session_endpoint": f"{at}/logout"} | self.said)
        elif path == "/jwks":
            self._send(handler, path, {"keys": [key.as_dict(private=False) for key in self.keys]})
        elif path == "/userinfo":
            self._send(handler, path, self.info)
        else:
            self._send(handler, path, {"error": "not_found"}, 404)

    def _post(self, handler: Any) -> None:
        body = handler.rfile.read(int(handler.headers["content-length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        self.forms.append((form, handler.headers.get("authorization", "")))
        if form.get("code") == "wrong":
            self._send(handler, handler.path, {"error": "invalid_grant", "error_description": "<b>"}, 400)
            return
        made = {"access_token": "an access token of this provider", "id_token": self.token()}
        self._send(handler, handler.path, self.answer if self.answer is not None else made)

    def _send(self, handler: Any, path: str, said: Any, status: int = 200) -> None:
        self.asked.append(path)
        fault = self.fault.get(path)
        body = json.dumps(said).encode()
        kind = "application/json"
        if fault == "html":
            body, kind = b"<!doctype html><title>Sign in</title>", "text/html"
        elif fault == "huge":
            body = b" " * 10_000_000 + body
        elif fault == "list":
            body = b"[1]"
        elif fault == "500":
            status = 500
        elif fault == "redirect":
            handler.send_response(302)
            handler.send_header("Location", f"{self.issuer}{path}?elsewhere")
            handler.end_headers()
            return
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        try:
            if fault == "drip":
                for byte in body:
                    handler.wfile.write(bytes([byte]))
                    time.sleep(0.1)
            else:
                handler.wfile.write(body)
        except OSError:
            pass  # whoever asked has gone, which is what the test wants
