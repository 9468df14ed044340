"""A stand-in for any https site: a CONNECT proxy on 127.0.0.1 that ends TLS itself, with an own authority.

A client is led here by the environment alone (`HTTPS_PROXY`, `REQUESTS_CA_BUNDLE`): it still checks names and
certificates, and nothing leaves the machine. Each host that is asked for gets a certificate of its own.

    def handler(request: Request) -> Answer:
        return Answer(body=b"hello") if request.path == "/hello" else Answer(404)

    with TlsDouble(handler) as double:
        for name, value in double.environment.items():
            monkeypatch.setenv(name, value)
        requests.get("https://www.instagram.com/hello?a=1")
    assert [(r.host, r.path, r.query) for r in double.requests] == [("www.instagram.com", "/hello", "a=1")]

A handler runs under a lock, one request at a time; bodies are sent outside it.
"""

import dataclasses
import functools
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socket import MSG_PEEK, SO_LINGER, SOL_SOCKET
from socketserver import ThreadingTCPServer
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_VALID = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 1, 1, tzinfo=UTC))


@dataclasses.dataclass(frozen=True)
class Request:
    """A request as it arrived. scheme: http where the client sent it unencrypted. headers: names in lower case."""

    scheme: str
    method: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def form(self) -> dict[str, str]:
        """The fields of a posted form, the last value of each."""
        return {name: values[-1] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}

    def arguments(self) -> dict[str, str]:
        """The arguments of the query, the last value of each."""
        return {name: values[-1] for name, values in parse_qs(self.query, keep_blank_values=True).items()}


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer: body as bytes, or in pieces that are sent one by one (a generator may wait between them).

    framing: how the client knows the end: Content-Length (bytes only; `headers` may give a false one), chunks, or the
    end of the connection. cut_after: so many bytes of the body are sent, then the connection ends. reset: by a reset.
    """

    status: int = 200
    body: bytes | Iterable[bytes] = b""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    framing: Literal["length", "chunked", "close"] = "length"
    cut_after: int | None = None
    reset: bool = False


# Pieces are sent as they are, head included, and then the connection ends; None resets it without a word.
Handler = Callable[[Request], Answer | Iterable[bytes] | None]


class TlsDouble:
    """A running double: `requests` in order of arrival, `connections` by host, `most_at_once` requests in flight.

    certificates: the name that a host's certificate bears instead of its own. Leaving the context raises the first
    error of the handler, if there was one.
    """

    def __init__(self, handler: Handler, certificates: Mapping[str, str] | None = None) -> None:
        self.requests: list[Request] = []
        self.connections: list[str] = []
        self.most_at_once = 0
        self._in_flight = 0
        self._handler = handler
        self._certificates = certificates or {}
        self._errors: list[BaseException] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self.ca_bundle = Path(self._folder.name, "ca.pem")
        self.ca_bundle.write_bytes(_authority()[1].public_bytes(serialization.Encoding.PEM))
        self._server = _Server(("127.0.0.1", 0), functools.partial(_Connection, self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._folder.cleanup()
        if self._errors and error[0] is None:
            raise self._errors[0]

    @property
    def environment(self) -> dict[str, str]:
        """What to set in a client's environment."""
        names = ("https_proxy", "http_proxy", "all_proxy")
        proxies = {spelt: self.url for name in names for spelt in (name, name.upper())}
        return {**proxies, "no_proxy": "", "NO_PROXY": "", "REQUESTS_CA_BUNDLE": str(self.ca_bundle)}

    def paths(self, host: str) -> list[str]:
        """The paths asked of a host, in order."""
        return [request.path for request in self.requests if request.host == host]

    def answer(self, request: Request) -> Answer | Iterable[bytes] | None:
        """Record a request and ask the handler."""
        with self._lock:
            self.requests.append(request)
            self._in_flight += 1
            self.most_at_once = max(self.most_at_once, self._in_flight)
            return self._handler(request)

    def answered(self, error: BaseException | None) -> None:
        """Note that an answer is over, and what went wrong."""
        with self._lock:
            self._in_flight -= 1
            if error is not None and not isinstance(error, OSError):
                self._errors.append(error)

    def context(self, host: str) -> ssl.SSLContext:
        """The server's side of TLS for a host."""
        name = self._certificates.get(host, host)
        file = Path(self._folder.name, f"{name}.pem")
        with self._lock:
            file.write_bytes(_certificate(name))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


class _Server(ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave early, and those that trust no certificate of ours, are no errors."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body go in two writes: without this the second waits 40 ms for the first one's acknowledgement.
    disable_nagle_algorithm = True
    _host: str | None = None

    def __init__(self, double: TlsDouble, *args: object) -> None:
        self._double = double
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, *args: object) -> None:
        pass

    def do_CONNECT(self) -> None:
        self._host = self.path.rpartition(":")[0]
        self._double.connections.append(self._host)
        self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        # ssl leaves the socket of a client that has gone open, so ask whether this one is there.
        if not self.connection.recv(1, MSG_PEEK):
            self.close_connection = True
            return
        self.connection = self._double.context(self._host).wrap_socket(self.connection, server_side=True)
        self.rfile.close()
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)
        self.close_connection = False

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        request = Request(
            scheme="https" if self._host else "http",
            method=self.command,
            host=self._host or url.hostname or "",
            path=url.path,
            query=url.query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )
        error = None
        try:
            self._send(self._double.answer(request))
        except BaseException as caught:
            error = caught
            self.close_connection = True
        self._double.answered(error)

    do_POST = do_HEAD = do_GET

    def _send(self, answer: Answer | Iterable[bytes] | None) -> None:
        if isinstance(answer, Answer):
            self._send_answer(answer)
            return
        self.close_connection = True
        if answer is None:
            self._reset()
            return
        for piece in answer:
            self.wfile.write(piece)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _send_answer(self, answer: Answer) -> None:
        headers = dict(answer.headers)
        if isinstance(answer.body, bytes) and answer.framing == "length":
            headers.setdefault("Content-Length", str(len(answer.body)))
        elif answer.framing == "chunked":
            headers["Transfer-Encoding"] = "chunked"
        else:
            self.close_connection = True
        phrase = HTTPStatus(answer.status).phrase
        head = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        self.wfile.write("\r\n".join([*head, "", ""]).encode("latin-1"))
        if self.command == "HEAD":
            return
        for piece in _pieces(answer):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.framing == "chunked" else piece)
        if answer.reset:
            self._reset()
        elif answer.cut_after is not None:
            self.close_connection = True
        elif answer.framing == "chunked":
            self.wfile.write(b"0\r\n\r\n")

    def finish(self) -> None:
        """End TLS in order, so that a client never mistakes the end of our process for a reset."""
        super().finish()
        self.connection.close()


def _pieces(answer: Answer) -> Iterator[bytes]:
    left = answer.cut_after
    for piece in [answer.body] if isinstance(answer.body, bytes) else answer.body:
        cut = piece if left is None else piece[:left]
        if cut:
            yield cut
        if left is not None and (left := left - len(cut)) == 0:
            return


@functools.cache
def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hashgen test authority")])
    usage = {name: name in ("key_cert_sign", "crl_sign") for name in _USAGES}
    certificate = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@functools.cache
def _certificate(host: str) -> bytes:
    """Private key and certificate of a host, PEM."""
    signer, authority = _authority()
    key = ec.generate_private_key(ec.SECP256R1())
    # A common name holds 64 characters at most; clients read the alternative names alone.
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host[:64])])
    certificate = (
        _builder(subject, authority.subject, key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + certificate.public_bytes(pem)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_VALID[0])
        .not_valid_after(_VALID[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
