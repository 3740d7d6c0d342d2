"""Translates the errors of boto3 to errors of Edge."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from edge_core.errors import (
    ApiError,
    BadEntry,
    Conflict,
    ConnectionFailed,
    EdgeError,
    Forbidden,
    NotFound,
    ServerError,
    Unauthenticated,
)

_BY_CODE: dict[str, type[ApiError]] = {
    "InvalidAccessKeyId": Unauthenticated,
    "SignatureDoesNotMatch": Unauthenticated,
    "ExpiredToken": Unauthenticated,
    "InvalidToken": Unauthenticated,
    "TokenRefreshRequired": Unauthenticated,
    "RequestTimeTooSkewed": Unauthenticated,
    "SlowDown": ServerError,
}

_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    429: ServerError,
}

_WHY: dict[type[ApiError], str] = {
    Unauthenticated: "the store rejects the connection's access key or secret key; correct the connector",
    Forbidden: "the store does not permit this with these credentials; ask its administrator",
    NotFound: "it does not exist; check its name",
    Conflict: "it was changed meanwhile; open it again",
    ServerError: "the store failed; try again later",
    BadEntry: "the store refused the call",
}


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Translate errors of boto3 within the block.

    Args:
        what: the bucket or key that is called for, for the sentence.

    Raises:
        NotFound, Unauthenticated, Forbidden, Conflict, ServerError, BadEntry: the store refused.
        ConnectionFailed: no answer came.
    """
    import botocore.exceptions
    import urllib3.exceptions

    from edge_core.http.failures import sentence_of

    try:
        yield
    except EdgeError:
        raise
    except botocore.exceptions.ClientError as error:
        raise _refusal(error, what) from None
    except (botocore.exceptions.ParamValidationError, UnicodeEncodeError):
        raise BadEntry(f"{what}: the name is not valid in an object store; check it") from None
    except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError, OSError) as error:
        details = getattr(error, "kwargs", {})
        if (
            "endpoint_url" in details
            and isinstance(details.get("error"), Exception)
            and "SSL" not in type(error).__name__
        ):
            sentence = sentence_of(details["error"], details["endpoint_url"], "check the connector's endpoint")
            raise ConnectionFailed(f"{what}: {sentence}") from None
        # The error's own sentence may hold a signed address.
        why = "its certificate is not trusted" if "SSL" in type(error).__name__ else type(error).__name__
        raise ConnectionFailed(f"{what}: the store gave no answer ({why}); check the endpoint, and try again") from None


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status in an error of boto3, or None."""
    answer = getattr(error, "response", {})
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else None


def _refusal(error: BaseException, what: str) -> ApiError:
    status = status_of(error)
    code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status or 0) or (ServerError if (status or 0) >= 500 else BadEntry)
    shown = f" ({code})" if code.isalnum() and not code.isdigit() else ""
    return kind(f"{what}: {_WHY[kind]}{shown}", status=status, code=code or None)
