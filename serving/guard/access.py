"""Who may call what: a rule for each endpoint, keys with scopes, and what is open on this machine alone.

A service that listens on this machine alone and for which no key was ever made is open, so that trying it is easy. The
first key closes it. A page in a browser is not "this machine": what it could send there is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from features.errors import RecoupError
from serving.guard.keys import Key, KeyRefusedError, Keys, Scope
from serving.guard.sessions import Sessions

#: How a program on this machine names it.
_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


class RefusedError(RecoupError):
    """A request that is answered with an error before anything was done about it."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        #: After how many seconds it is worth another try.
        self.retry_after = retry_after


@dataclass(frozen=True)
class Rule:
    """Who may call an endpoint: `path` may hold parts in braces; a `scope` of None is for everyone."""

    method: str
    path: str
    scope: Scope | None
    #: Whether it is a page for people, whose browser may show a session in place of the key.
    is_page: bool = False

    @property
    def label(self) -> str:
        """What logs and metrics call the endpoint: no part of the path that a caller chose."""
        return f"{self.method} {self.path}"


#: Health is for whoever starts and stops services; figures are for those who watch over it.
OPERATIONS = (
    Rule("GET", "/livez", None),
    Rule("GET", "/readyz", None),
    Rule("GET", "/metrics", Scope.REVIEW),
)


class Rules:
    """The rules of a service, found by method and path."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._plain: dict[tuple[str, str], Rule] = {}
        self._with_parts: list[tuple[Rule, list[str]]] = []
        for rule in rules:
            if "{" in rule.path:
                self._with_parts.append((rule, rule.path.split("/")))
            else:
                self._plain[rule.method, rule.path] = rule

    def find(self, method: str, path: str) -> Rule | None:
        """The rule of a request; None where no endpoint is meant. HEAD asks for what GET does."""
        method = "GET" if method == "HEAD" else method
        rule = self._plain.get((method, path))
        return rule if rule is not None else self._find_with_parts(method, path.split("/"))

    def _find_with_parts(self, method: str, parts: list[str]) -> Rule | None:
        for rule, pattern in self._with_parts:
            if rule.method == method and len(pattern) == len(parts) and all(map(_fits, pattern, parts)):
                return rule
        return None


def _fits(pattern: str, part: str) -> bool:
    return bool(part) if pattern.startswith("{") else pattern == part


@dataclass(frozen=True)
class Asking:
    """What a request says of who sends it."""

    authorization: str
    host: str
    origin: str
    session: str = ""

    @property
    def is_foreign(self) -> bool:
        """Whether a page of another site had it sent."""
        return bool(self.origin) and self.origin.partition("://")[2] != self.host


def admit(
    rule: Rule | None, asking: Asking, keys: Keys | None, open_without_keys: bool, now: int,
    sessions: Sessions | None = None,
) -> Key | None:  # fmt: skip
    """Let a request in: the key it came with, or None where it needs none.

    Args:
        rule: that of the endpoint; None for a path that is no endpoint's, which takes any key.
        asking: what it says of its sender.
        keys: the keys there are; None where they could not be read yet.
        open_without_keys: whether the service listens on this machine alone, and is open while no key was ever made.
        now: the present, for keys that expire.
        sessions: reads those of browsers; none are known when None.

    Raises:
        RefusedError: with 401, 403 or, before the keys are known, 503.
    """
    if rule is not None and rule.scope is None:
        return None
    if keys is None:
        raise RefusedError(503, "store", "keys cannot be read from the store yet; try again", retry_after=2)
    if not keys.by_number and open_without_keys:
        _refuse_browsers(asking)
        return None
    if rule is not None and rule.is_page and sessions is not None and not asking.authorization:
        key = _of_session(rule, asking, keys, now, sessions)
    else:
        key = _holder(asking.authorization, keys, now)
    if rule is not None and rule.scope not in key.scopes:
        has = ", ".join(sorted(key.scopes))
        raise RefusedError(403, "forbidden", f"this needs a key for the scope {rule.scope}; this one is for {has}")
    return key


def _holder(authorization: str, keys: Keys, now: int) -> Key:
    scheme, _, token = authorization.partition(" ")
    try:
        return keys.holder(token.strip() if scheme.lower() == "bearer" else "", now)
    except KeyRefusedError as error:
        raise RefusedError(401, "unauthorized", str(error)) from None


def _of_session(rule: Rule, asking: Asking, keys: Keys, now: int, sessions: Sessions) -> Key:
    if rule.method != "GET":
        refuse_foreign(asking)
    try:
        return sessions.holder(asking.session, keys, now)
    except KeyRefusedError as error:
        raise RefusedError(401, "unauthorized", str(error)) from None


def refuse_foreign(asking: Asking) -> None:
    """Refuse a form that no page of this service sent: a browser says where a form was sent from."""
    if asking.is_foreign or not asking.origin:
        raise RefusedError(403, "forbidden", "a form is taken from a page of this service alone; open the page anew")


def _refuse_browsers(asking: Asking) -> None:
    """Refuse what a page of another site could make a browser on this machine send."""
    name = asking.host if asking.host.endswith("]") else asking.host.rpartition(":")[0] or asking.host
    if name not in _LOOPBACK_NAMES or asking.is_foreign:
        raise RefusedError(
            403, "forbidden", "without keys, the service answers programs on this machine alone; make one: recoup keys"
        )
