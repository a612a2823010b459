"""Requests that are not what a client library sends: what of them leaves, if anything. Written by hand on a socket."""

import gzip
import http.client
import json
import socket

import pytest
from support.guarded_house import OFFERED, House

PATH = "/v1/chat/completions"
BODY = json.dumps({"model": "cold", "messages": [{"role": "user", "content": "two words"}]}).encode()
OURS = ["accept", "authorization", "content-length", "content-type", "host", "user-agent"]
LARGE = json.dumps({"model": "cold", "messages": [{"role": "user", "content": "x" * (17 << 20)}]}).encode()


def ask(house: House, body: bytes = BODY, *lines: str, method: str = "POST", path: str = PATH) -> tuple[int, str]:
    """Send one request as it is written, on a connection of its own; return status and everything that came back."""
    sized = (
        [] if any(line.lower().startswith("transfer-encoding") for line in lines) else [f"content-length: {len(body)}"]
    )
    head = [f"{method} {path} HTTP/1.1", "host: gateway", "content-type: application/json"]
    request = "\r\n".join([*head, *sized, *lines, "", ""]).encode() + body
    try:
        with socket.create_connection(("127.0.0.1", house.gateway.port), timeout=30) as connection:
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            return answer.status, f"{answer.headers}{answer.read().decode()}"
    except (BrokenPipeError, ConnectionResetError):
        return 413, ""  # closed on what we still had to say


def chunked(body: bytes, *trailers: str) -> bytes:
    pieces = [body[at : at + 65_000] for at in range(0, len(body), 65_000)]
    framed = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces)
    return framed + b"0\r\n" + "".join(f"{line}\r\n" for line in trailers).encode() + b"\r\n"


CHUNKED = "transfer-encoding: chunked"
LEAVES = [
    pytest.param(chunked(BODY), [CHUNKED], id="in chunks"),
    pytest.param(chunked(BODY, "x-secret: of the client"), [CHUNKED], id="in chunks, with trailers"),
    pytest.param(BODY, ["expect: 100-continue"], id="expects to be asked on"),
    pytest.param(BODY, ["upgrade: h2c", "http2-settings: AAMAAABkAAQAAP__"], id="offers another protocol"),
    pytest.param(BODY, ["x-http-method-override: DELETE", "x-original-url: /v1/files"], id="says that it is another"),
    pytest.param(BODY, ["te: trailers", "forwarded: for=10.0.0.1", "via: 1.1 proxy"], id="has been on a journey"),
    pytest.param(BODY, ["x-tandem-data-class: Internal"], id="names the class that it has"),
    pytest.param(b'{"Model":"gpt-9","MODEL":"gpt-9",' + BODY[1:], [], id="names other models in capitals"),
]


@pytest.mark.parametrize(("body", "lines"), LEAVES)
def test_what_leaves_is_our_request_whatever_the_client_wrote(house: House, body: bytes, lines: list[str]) -> None:
    status, _ = ask(house, body, *lines)
    assert status == 200
    (received,) = house.clouds["cloud-a"].received
    assert sorted(received.headers) == OURS
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.body == {"model": OFFERED, "messages": [{"role": "user", "content": "two words"}]}


STAYS = [
    pytest.param(LARGE, [], {}, 413, id="too large"),
    pytest.param(chunked(LARGE), [CHUNKED], {}, 413, id="too large, in chunks"),
    pytest.param(gzip.compress(BODY), ["content-encoding: gzip"], {}, 400, id="compressed"),
    pytest.param(BODY.decode().encode("utf-16"), [], {}, 400, id="in UTF-16"),
    pytest.param(b"", [], {}, 400, id="without a body"),
    pytest.param(b'{"model":"hello",' + BODY[1:], [], {}, 400, id="two models"),
    pytest.param(b'{"\\u006dodel":"hello",' + BODY[1:], [], {}, 400, id="two models, one in escapes"),
    pytest.param(BODY, [], {"method": "GET"}, 405, id="GET with a body"),
    pytest.param(BODY, [], {"method": "HEAD"}, 405, id="HEAD with a body"),
    pytest.param(BODY, [], {"method": "PUT"}, 405, id="PUT"),
    pytest.param(BODY, [], {"method": "OPTIONS"}, 405, id="OPTIONS"),
    pytest.param(BODY, [], {"path": "/v1/responses"}, 503, id="a path that stays"),
    pytest.param(BODY, [], {"path": "/v1/files"}, 404, id="a path that nobody has"),
    pytest.param(BODY, [], {"path": "/v1/chat%2Fcompletions"}, 404, id="a slash in escapes"),
    pytest.param(BODY, ["connection: upgrade", "upgrade: websocket"], {}, 403, id="a web socket"),
    pytest.param(chunked(BODY), [CHUNKED, "content-length: 5"], {}, 400, id="two lengths"),
    pytest.param(BODY, ["x-tandem-data-class: Internal\r\n Public"], {}, 503, id="a header over two lines"),
    pytest.param(BODY, ["x-tandem-data-class: Restricted"], {}, 503, id="Restricted"),
    pytest.param(BODY, ["X-TANDEM-Data-Class:\t Restricted \t"], {}, 503, id="Restricted, oddly written"),
    pytest.param(BODY, ["x-tandem-data-class:"], {}, 503, id="no class is an unknown class"),
    pytest.param(
        BODY, ["x-tandem-data-class: Restricted", "x-tandem-data-class: Public"], {}, 503, id="two classes, high first"
    ),
    pytest.param(
        BODY, ["x-tandem-data-class: Public", "x-tandem-data-class: Restricted"], {}, 503, id="two classes, low first"
    ),
    pytest.param(BODY, ["x-tandem-data-class: Public"] * 2, {}, 503, id="the same class twice"),
    pytest.param(BODY, ["x-tandem-route: local", "x-tandem-route: cloud"], {}, 503, id="two wishes"),
]


@pytest.mark.parametrize(("body", "lines", "how", "status"), STAYS)
def test_what_stays_is_told_so(house: House, body: bytes, lines: list[str], how: dict[str, str], status: int) -> None:
    got, answer = ask(house, body, *lines, **how)
    assert got == status, answer
    assert house.received == 0
    assert "x-tandem-denied" not in answer.lower()
