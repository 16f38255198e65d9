"""Tokens for SASL OAUTHBEARER by the client credentials grant (RFC 6749, 4.4), as Kafka's Java client fetches them."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kafka.net.sasl.oauth import AbstractTokenProvider

_EARLY = 0.8
"""A token is fetched anew after this share of its life, so that none expires on its way."""


class TokenError(Exception):
    """No token; the text names the endpoint and never the secret."""


def token_provider(
    endpoint: str, client_id: str, client_secret: str, scope: str | None, clock: Callable[[], float] = time.monotonic
) -> "AbstractTokenProvider":
    """What kafka-python takes as `sasl_oauth_token_provider`: one token, kept until most of its life is over."""
    from kafka.net.sasl.oauth import AbstractTokenProvider

    class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]
        """One token and when to fetch the next."""

        def __init__(self) -> None:
            self._token = ""
            self._renew_at = 0.0

        def token(self) -> str:
            if not self._token or clock() >= self._renew_at:
                self._token, life = _fetch(endpoint, client_id, client_secret, scope)
                self._renew_at = clock() + life * _EARLY
            return self._token

        def __repr__(self) -> str:
            return f"<tokens of {endpoint}>"

    return ClientCredentials()


def _fetch(endpoint: str, client_id: str, client_secret: str, scope: str | None) -> tuple[str, float]:
    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    login = b64encode(f"{client_id}:{client_secret}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Accept": "application/json"}
    request = urllib.request.Request(endpoint, urllib.parse.urlencode(form).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            document = json.load(answer)
        return str(document["access_token"]), float(document.get("expires_in", 300))
    except urllib.error.HTTPError as error:
        raise TokenError(
            f"{endpoint} gave no token: HTTP {error.code}. Check clientId, clientSecret and scope."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TokenError(f"{endpoint} gave no token: {type(error).__name__}. Is it the token endpoint?") from None
