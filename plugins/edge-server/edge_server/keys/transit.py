"""The transit engine of OpenBao or Vault as the keeper of the key, which never leaves it.

What is sealed there stays in the database, as

    format (1 byte) | version of the key (4) | what the engine made of the content (nonce, ciphertext and tag)

and organization, owner and name are its associated data, as with a key file. The engine's own text for it,
``vault:v1:…`` with base64, is not kept: some of its characters could be changed and it would still open.

The engine is waited for, and may not answer. So nothing here is called in a transaction that writes, a request waits
for a second, and after one that got no answer a single request at a time tries again while all others are refused at
once: the threads of a server are there for more than secrets.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hvac
import hvac.exceptions
import requests
from requests.adapters import HTTPAdapter

from edge_server.base import configuration
from edge_server.base.problems import CannotStart
from edge_server.keys.sealing import NOT_SEALED_THERE, KeeperAway, Place, Prepared, bound, unopened

log = logging.getLogger("edge_server")

FORMAT = b"\x02"
"""What a blob begins with that the engine has sealed."""

TIMEOUT = 1.0
"""Seconds to wait for a connection, and then for an answer."""

PAUSE = 1.0
"""Seconds after a request without an answer in which no other is sent."""

VAIN = 60.0
"""Seconds after a login that helped nothing in which there is no other one because a request was refused."""

CONNECTIONS = 128
"""Connections that a process keeps: as many as it answers requests at once."""

_VERSION_BYTES = 4
_CONTENT_AT = len(FORMAT) + _VERSION_BYTES

_CIPHERTEXT = re.compile(r"vault:v([1-9]\d{0,8}):([A-Za-z0-9+/]+=*)")

_PROBE = Place(organization="", owner="probe", name="probe")


class Refused(Exception):
    """The engine does not do what it is asked for; the message is one sentence for the operator."""


class _Unfit(Refused):
    """It does not open a blob, which is not what it has sealed or can open."""


class _Forbidden(Refused):
    """The token does not permit it, or is none any more."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """A transit engine, and who the server is there.

    Attributes:
        address: of OpenBao or Vault, such as ``https://bao.example.com:8200``.
        key: name of the key.
        mount: where the engine is.
        role_id: of an AppRole; None to have a token by `token_file`.
        secret_id: of the AppRole.
        token_file: a file that holds a token, which something else keeps fresh.
        ca: a file with the certificates that its own is trusted by; None for those that are known to all.
    """

    address: str
    key: str
    mount: str = "transit"
    role_id: str | None = None
    secret_id: str | None = dataclasses.field(default=None, repr=False)
    token_file: Path | None = None
    ca: Path | None = None

    @property
    def place(self) -> str:
        """What a sentence calls it."""
        return f"the key {self.key} in {self.mount} at {self.address}"


class TransitSealer:
    """Seals with a key of a transit engine.

    Args:
        engine: the engine, and its key.

    Attributes:
        engine: the engine, and its key.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def prepare(self, content: bytes, *, organization: str, owner: str, name: str) -> Prepared:
        """Have `content` sealed; what it returns gives the blob, and asks nobody any more.

        Raises:
            KeeperAway: the engine cannot be used just now.
        """
        try:
            blob = self._seal(content, Place(organization=organization, owner=owner, name=name))
        except Refused as error:
            log.error("nothing can be sealed: %s", error)
            raise KeeperAway(str(error)) from None
        return lambda: blob

    def open(self, blob: bytes, *, organization: str, owner: str, name: str) -> bytes:
        """The content of a blob that was sealed for exactly this organization, owner and name.

        Raises:
            Unsealable: it was sealed for another place, was changed, or its version of the key is gone.
            KeeperAway: the engine cannot be used just now.
        """
        place = Place(organization=organization, owner=owner, name=name)
        try:
            return self._open(blob, place)
        except _Unfit as error:
            raise unopened(str(error), place) from None
        except Refused as error:
            log.error("nothing that is sealed can be opened: %s", error)
            raise KeeperAway(str(error)) from None

    def newest_version(self) -> int:
        """The version of the key that seals now.

        Raises:
            KeeperAway: the engine cannot be used just now.
        """
        return version_of(self.probe())

    def probe(self) -> bytes:
        """A blob that holds nothing, by which `is_own` knows the key again.

        Raises:
            KeeperAway: the engine cannot be used just now.
        """
        return self.prepare(b"", **_PROBE)()

    def is_own(self, probe: bytes) -> bool:
        """Whether the key of a probe is the engine's.

        Raises:
            KeeperAway: the engine cannot be used just now.
        """
        try:
            self._open(probe, _PROBE)
        except _Unfit:
            return False
        except Refused as error:
            raise KeeperAway(str(error)) from None
        return True

    def has_sealed(self, blob: bytes, least: int = 1) -> bool:
        """Whether a blob is the engine's, of that version of the key or a later one."""
        return blob.startswith(FORMAT) and version_of(blob) >= least

    def trial(self) -> str:
        """Seal something and open it; returns a sentence that says with what.

        Raises:
            CannotStart: that is not possible; the sentence says why.
        """
        try:
            blob = self._seal(b"trial", _PROBE)
            self._open(blob, _PROBE)
        except Refused as error:
            raise CannotStart(str(error)) from None
        return f"{self.engine.place} seals and opens, by its version {version_of(blob)}"

    def _seal(self, content: bytes, place: Place) -> bytes:
        answer = self._door.call("encrypt", plaintext=_encoded(content), associated_data=_associated(place))
        ciphertext = _CIPHERTEXT.fullmatch(str(answer.get("ciphertext")))
        if ciphertext is None:
            raise Refused(f"{self.engine.place}: what it gives is no ciphertext; correct address in [secrets]")
        return FORMAT + int(ciphertext[1]).to_bytes(_VERSION_BYTES) + base64.b64decode(ciphertext[2])

    def _open(self, blob: bytes, place: Place) -> bytes:
        if not blob.startswith(FORMAT) or len(blob) <= _CONTENT_AT or version_of(blob) == 0:
            raise _Unfit(NOT_SEALED_THERE)
        ciphertext = f"vault:v{version_of(blob)}:{_encoded(blob[_CONTENT_AT:])}"
        answer = self._door.call("decrypt", ciphertext=ciphertext, associated_data=_associated(place))
        try:
            return base64.b64decode(answer["plaintext"], validate=True)
        except (KeyError, TypeError, binascii.Error):
            raise Refused(f"{self.engine.place}: what it gives is no plaintext; correct address in [secrets]") from None

    @property
    def _door(self) -> _Door:
        """That of this process, which its threads share; connections do not survive a fork."""
        return _door_of(self.engine, os.getpid())


def version_of(blob: bytes) -> int:
    """The version of the key that has sealed a blob of the engine."""
    return int.from_bytes(blob[len(FORMAT) : _CONTENT_AT])


class _Door:
    """A process's way to the engine: its connections, and its token."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        session = requests.Session()
        # Neither proxies nor what a .netrc says is for this, and hvac would take a token from the environment.
        session.trust_env = False
        session.verify = True if engine.ca is None else str(engine.ca)
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=CONNECTIONS))
        # A redirect would be sent the token.
        self._client = hvac.Client(engine.address, "", session=session, timeout=TIMEOUT, allow_redirects=False)
        self._token_lock = threading.Lock()
        self._renew_at = self._lease = float("inf")
        self._no_login_before = 0.0
        self._answer_lock = threading.Lock()
        self._is_away: str | None = None
        self._no_request_before = 0.0

    def call(self, operation: str, **arguments: str) -> dict[str, Any]:
        """Ask the engine to encrypt or decrypt.

        Args:
            operation: ``"encrypt"`` or ``"decrypt"``.
            arguments: what it is asked with, in base64 or as the engine has made it.

        Raises:
            Refused: it does not.
        """
        token = self._own_token()
        try:
            return self._ask(operation, arguments)
        except _Forbidden:
            # The token has expired or was revoked. If another one is refused as well, it is the policy.
            if not self._log_in_in_place_of(token):
                raise
        try:
            return self._ask(operation, arguments)
        except _Forbidden:
            self._no_login_before = time.monotonic() + VAIN
            raise

    def _ask(self, operation: str, arguments: dict[str, str]) -> dict[str, Any]:
        engine = self._engine
        method = getattr(self._client.secrets.transit, f"{operation}_data")
        try:
            answer = self._send(lambda: method(engine.key, mount_point=engine.mount, **arguments))
        except hvac.exceptions.Forbidden:
            raise _Forbidden(
                f"{engine.place}: this is not permitted; permit update on {engine.mount}/{operation}/{engine.key} to "
                "the role or token of [secrets], and see that the key is there"
            ) from None
        except hvac.exceptions.InvalidPath:
            raise Refused(
                f"{engine.place}: no engine is mounted there; enable it, or correct mount in [secrets]"
            ) from None
        except hvac.exceptions.InvalidRequest as error:
            raise self._invalid(operation, _reason(error)) from None
        return answer["data"] if isinstance(answer.get("data"), dict) else {}

    def _invalid(self, operation: str, reason: str) -> Refused:
        place = self._engine.place
        if "key not found" in reason:
            return Refused(f"{place}: it is not there; put it back from a backup, or correct key in [secrets]")
        if operation == "decrypt" and "authentication failed" in reason:
            return _Unfit(NOT_SEALED_THERE)
        if operation == "decrypt" and "ciphertext" in reason:
            return _Unfit(f"{place} does not open it ({reason})")
        return Refused(
            f"{place} refuses this ({reason}); it has to be a key of the type aes256-gcm96 that is not derived"
        )

    def _send(self, request: Callable[[], Any]) -> Any:
        """Send a request; what hvac raises of refusals it goes on raising.

        Raises:
            Refused: there is no answer, or none of OpenBao or Vault.
        """
        self._require_chance()
        address = self._engine.address
        why = None
        try:
            answer = request()
        except requests.exceptions.SSLError as error:
            is_untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
            trust = "its certificate is not trusted; name the file of its CA by ca in [secrets]"
            why = trust if is_untrusted else "it does not speak TLS as expected; correct address in [secrets]"
        except requests.exceptions.Timeout:
            why = f"it did not answer within {TIMEOUT:g} s; see whether it runs"
        except requests.exceptions.RequestException as error:
            why = f"it cannot be reached ({type(error).__name__}); see whether it runs, or correct address in [secrets]"
        except hvac.exceptions.VaultDown:
            raise Refused(f"{address}: it is sealed; unseal it") from None
        except hvac.exceptions.VaultNotInitialized:
            raise Refused(f"{address}: it is not initialized; initialize it") from None
        except (
            hvac.exceptions.RateLimitExceeded,
            hvac.exceptions.InternalServerError,
            hvac.exceptions.BadGateway,
            hvac.exceptions.UnexpectedError,
        ) as error:
            raise Refused(f"{address}: it fails ({type(error).__name__}); look at its log") from None
        except hvac.exceptions.VaultError as error:
            if error.errors is None:
                raise self._strange() from None
            raise
        finally:
            self._note(why)
        if why is not None:
            raise Refused(f"{address}: {why}")
        if not isinstance(answer, dict):
            raise self._strange()
        return answer

    def _strange(self) -> Refused:
        return Refused(f"{self._engine.address}: it answers as no OpenBao or Vault; correct address in [secrets]")

    def _require_chance(self) -> None:
        """See that the engine answers, as far as is known, or be the one that tries whether it does again.

        Raises:
            Refused: it does not.
        """
        with self._answer_lock:
            if self._is_away is None:
                return
            now = time.monotonic()
            if now < self._no_request_before:
                raise Refused(f"{self._engine.address}: {self._is_away}")
            self._no_request_before = now + 2 * TIMEOUT + PAUSE

    def _note(self, why: str | None) -> None:
        """Keep in mind whether the engine answers."""
        with self._answer_lock:
            self._is_away = why
            if why is not None:
                self._no_request_before = time.monotonic() + PAUSE

    # --- the token

    def _own_token(self) -> str:
        """The token, which is there and was renewed in time."""
        if not self._client.token:
            with self._token_lock:
                if not self._client.token:
                    self._log_in()
        elif time.monotonic() > self._renew_at and self._token_lock.acquire(blocking=False):
            # The others go on with it meanwhile.
            try:
                self._renew()
            finally:
                self._token_lock.release()
        token: str = self._client.token
        return token

    def _log_in_in_place_of(self, token: str) -> bool:
        """Have another token than one that was refused; False if another login would be in vain."""
        with self._token_lock:
            if self._client.token != token:  # another thread was first
                return True
            if time.monotonic() < self._no_login_before:
                return False
            self._log_in()
            is_another: bool = self._client.token != token
            return is_another

    def _log_in(self) -> None:
        engine = self._engine
        if engine.token_file is not None:
            try:
                self._client.token = configuration.read_secret(engine.token_file, "[secrets] token_file")
            except CannotStart as error:
                raise Refused(str(error)) from None
            return
        try:
            answer = self._send(
                lambda: self._client.auth.approle.login(engine.role_id, engine.secret_id, use_token=False)
            )
        except (hvac.exceptions.InvalidRequest, hvac.exceptions.Forbidden, hvac.exceptions.Unauthorized):
            raise Refused(
                f"{engine.address}: role_id and secret_id are not accepted; correct them in [secrets]"
            ) from None
        except hvac.exceptions.InvalidPath:
            raise Refused(f"{engine.address}: there is no AppRole login; enable it at auth/approle") from None
        self._take(answer)

    def _renew(self) -> None:
        lease = self._lease
        try:
            self._take(self._send(self._client.auth.token.renew_self))
        except (hvac.exceptions.Forbidden, hvac.exceptions.InvalidRequest):
            self._log_in()
        else:
            # A token is renewed up to an end, near which it gets less and less.
            if self._lease < lease / 2:
                self._log_in()

    def _take(self, answer: dict[str, Any]) -> None:
        own = answer["auth"]
        self._client.token = own["client_token"]
        self._lease = float(own["lease_duration"] or "inf")
        self._renew_at = time.monotonic() + self._lease / 2


@functools.lru_cache(maxsize=8)
def _door_of(engine: Engine, _process: int) -> _Door:
    return _Door(engine)


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _associated(place: Place) -> str:
    return _encoded(bound(FORMAT, **place))


def _reason(error: hvac.exceptions.VaultError) -> str:
    """The first line of why a request cannot be, which has nothing of the content."""
    return " ".join(" ".join(error.errors or ()).split())[:200]
