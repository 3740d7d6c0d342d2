"""One sentence for each way in which no answer comes."""

from __future__ import annotations

from urllib.parse import urlsplit

import requests
import urllib3.exceptions
from requests.exceptions import ConnectTimeout, ProxyError, ReadTimeout, SSLError
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError

from edge_core.redaction import bare

FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""What the libraries below us raise where no answer comes, or only a part of one."""

SERVICE = "check the service URL"
"""What to do about an address that is the user's setting."""

STORE = "have the Edge server's operator check endpoint and public_endpoint in its [storage]"
"""What to do about an address at which the Edge server keeps content."""


def sentence_of(error: Exception, url: str, advice: str = SERVICE) -> str:
    """What happened on the way to a host, and what to do; nothing of the error's own text, which may hold secrets.

    Args:
        error: one of `FAILURES`.
        url: where it happened.
        advice: what to do where the address may be wrong, as `SERVICE` words it.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    text = str(error)
    match error:
        case ProxyError() if is_proxys_refusal(error):
            return proxy_refused(url)
        case ProxyError():
            return (
                f"the proxy on the way to {host} does not let the call through; check HTTP_PROXY, HTTPS_PROXY, NO_PROXY"
            )
        case SSLError():
            return _of_tls(host, text, advice)
        case NewConnectionError():
            pass  # a subclass of ConnectTimeoutError, though nothing timed out; the text says what happened
        case ConnectTimeout() | ConnectTimeoutError():
            return f"{host} did not take the connection in time; check the address and the network"
        case ReadTimeout() | ReadTimeoutError():
            return f"{host} stopped answering; try again, or give a longer timeout="
    if "timed out" in text:
        return f"{host} stopped answering; try again, or give a longer timeout="
    if "NameResolutionError" in text or "getaddrinfo" in text:
        return f"there is no host named {parts.hostname}; {advice}"
    if "refused" in text:
        return f"nothing listens at {host}; {advice}, and that a server runs there"
    if "IncompleteRead" in text or "InvalidChunkLength" in text:
        return f"the answer of {host} broke off before its end; try again"
    return f"{host} closed the connection without a proper answer; {advice}, or try again"


def _of_tls(host: str, text: str, advice: str) -> str:
    if "mismatch" in text:
        return f"the certificate of {host} is for another host; {advice}"
    if "certificate has expired" in text:
        return f"the certificate of {host} has expired; tell the server's operator"
    if "certificate is not yet valid" in text:
        return f"the certificate of {host} is not valid yet; see that this machine's clock is right"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return (
            f"the certificate of {host} is not trusted; if it is signed by a private CA, give ca_bundle= "
            "or REQUESTS_CA_BUNDLE the path of that CA's certificate"
        )
    return f"{host} does not speak TLS as expected; {advice}, which begins with http:// or https://"


def is_away(error: Exception) -> bool:
    """Whether nothing listens at a host, as while a program starts again."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError) and isinstance(reason.__cause__, ConnectionRefusedError)


def is_proxys_refusal(error: Exception) -> bool:
    """Whether a proxy refused its user name or password; some proxies answer wrong ones with 401."""
    return isinstance(error, ProxyError) and ("failed: 407" in str(error) or "failed: 401" in str(error))


def hub_answered(url: str) -> str:
    """What to do about a JupyterHub that answers in the place of its service."""
    return (
        f"a JupyterHub answers at {bare(url)} in the place of an Edge server, as while it starts; try again, or check "
        "the service URL if it lasts"
    )


def proxy_refused(url: str) -> str:
    return (
        f"the proxy on the way to {urlsplit(url).hostname} wants another user name or password; "
        "write them into HTTP_PROXY and HTTPS_PROXY, as in http://USER:PASSWORD@proxy.example.com:3128"
    )
