"""What may be shown: texts, and foreign errors, without what would open a store.

Three things take secrets out of a text. Their place: what stands before ``@`` in
a URL, behind ``password=``, after ``Authorization:``. An allow-list: of the
parameters of a web address, only those known to be harmless are shown. Their
value: secrets that this process was given are known (`protect`), and replaced
wherever a driver may have put them.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote

MASK: Final = "***"

# --- secrets known by their place ---------------------------------------------

# A number before the path that is a port; "9/" is rather the beginning of a password that was pasted as it is.
_PORT: Final = r"(?:2[0-3]|8[01]|88|139|389|443|445|548|631|9[89]\d|\d{4,5})[/?#]"
_IPV6: Final = r"\[[\da-fA-F:.]*:[\da-fA-F:.]*(?:%\w+)?\]"
# "me:" and all up to the last "@" before the path. Users of hosted servers have an "@" in their names, and passwords are
# often pasted as they are, with "@", ":" and even "/" in them. host:8080/x@y, C:/x@y, me@[::1]:80/x@y, github://me:repo@main
# and a::ftp://x (the next link of a chain) are no logins.
_USERINFO: Final = rf"""(?x)
    (?<= :// ) (?<! \bgithub:// ) (?<! \bgit:// )
    (?! (?: [^\s/:]* @ )? {_IPV6} )
    [^\s/:]* : (?! {_PORT} | :[A-Za-z][A-Za-z0-9+.\-]*:(?:/|:) )
    (?: [^\s/]*@ | (?!/) [^\s@]*@ (?: [^\s/@]*@ )* )
    """
# On the web a name alone before "@" is more often a token than a user.
_WEB: Final = r"(?:https?|webdavs?|davs?)://"
_WEB_LOGIN: Final = rf"(?i)({_WEB})[^\s/?#\"'<>\[\]]+@"
# A URL may hold single quotes, so one ends the value only where a text goes on behind it.
_QUERY_CHARACTER: Final = r"""(?: [^\s"'<>] | ' (?! [,;:.)\]}>]* (?:\s|$) ) )"""
_WEB_QUERY: Final = rf"""(?ix) ({_WEB} [^\s"'<>?]* \?) ({_QUERY_CHARACTER}+)"""
_SHOWN_PARAMETERS: Final = frozenset(
    """
    versionid version-id generation ifgenerationmatch metageneration list-type prefix delimiter max-keys maxresults max-results
    start-after startoffset endoffset marker continuation-token encoding-type fetch-owner partnumber part-number partnumbermarker
    acl uploads uploadtype versions location tagging attributes cors policy website delete select lifecycle range alt fields
    comp restype blockid blocklisttype include showonly timeout snapshot recursive resource directory action position close
    sv sr sp st se spr srt ss sdd api-version
    op offset length buffersize overwrite permission replication destination namenoderpcaddress noredirect createparent user.name
    x-amz-algorithm x-amz-date x-amz-expires x-amz-signedheaders x-amz-content-sha256 x-id
    x-goog-algorithm x-goog-date x-goog-expires x-goog-signedheaders expires
    response-content-type response-content-disposition response-cache-control response-content-encoding
    presign path ref page per_page limit
    """.split()  # noqa: SIM905 - seventy quotes and commas would not make it clearer
)

_OPENS_STORES: Final = r"""
    (?: x-(?:amz|goog)-(?:signature|credential|security-token|[a-z-]+-key)
      | sig | sas | signature | sharedaccesssignature | credential | upload_id | uploadid
      | aws_?access_?key_?id | googleaccessid | [a-z_-]*(?:secret|access|account|api|private)[_-]?key
      | (?:access|auth|id|refresh|sas|security|session|delegation)?[_-]?token
      | (?:access|account|api|aws|client|shared)?[_-]?(?:secret|password|passwd|passphrase)
    )
"""
# After "/" stands a folder like token=1, not a secret; a bare "key" is one only in a query.
_NAMED_SECRET: Final = rf"""(?ix)
    ( (?: (?<! [\w/] ) (?<! continuation- ) {_OPENS_STORES}
        | (?<= [?&] ) key
      ) = )
    (?: b? '[^']*' (?= [,;:.)\]}}>]* (?:\s|$) )
      | b? "[^"]*"
      | (?: [^&\s"'<>] | ' (?! [,;:.)\]}}>]* (?:\s|$) ) )+
    )
    """
# As Python and JSON print a mapping, or a pair: 'password': 'x'; ('password', 'x'). A list of names is neither.
_MAPPED_SECRET: Final = rf"""(?ix)
    ( (?: (?P<q>\\?['"]) {_OPENS_STORES} (?P=q) \s* : | (?<=\() (?P<p>['"]) {_OPENS_STORES} (?P=p) \s* , ) \s* )
    (?: b? (?P<v>\\?['"]) .*? (?P=v) )
    """
_HEADER: Final = r"""(?ix)
    ( (?<! [\w-] ) (?: (?:proxy-)?authorization | (?:set-)?cookie | x-[a-z-]*(?:token|key|signature|secret) )
      (?: \\?['"] )? \s* [:,] \s* )
    (?: b? (?P<v>\\?['"]) .*? (?P=v) | (?! b?\\?['"] ) [^\s'"] [^\r\n'"]* )
    """
_BEARER: Final = r"(?i)\b(bearer|basic|negotiate)\s+(?=[^\s\"']*[\d=])[\w.~+/=-]{12,}"
# Every pattern above needs one of these; most texts have none.
_TELLTALES: Final = re.compile(
    r"(?i)[@?=]|cookie|authorization|bearer|basic|negotiate|(?:token|secret|passw(?:or)?d|key|phrase|sig\w*|sas)\\?['\":]"
)


_QUICK: Final = (
    "file://",
    "s3://",
    "gs://",
    "abfs://",
    "ftp://",
    "sftp://",
    "memory://",
    "hdfs://",
    "webdav://",
    "http://",
    "https://",
)


def redact(text: str) -> str:
    """Remove what would open a store from a text.

    Examples:
        >>> redact("ftp://me:secret@host/x, https://host/x?prefix=a&sig=abc")
        'ftp://***@host/x, https://host/x?prefix=a&sig=***'
    """
    return redact_places(_protected.hide(text))


def redact_places(text: str) -> str:
    """As `redact`, without the values that this process knows: what it returns depends on nothing but the text.

    Examples:
        >>> redact_places("{'password': 'x'} for https://token@host")
        "{'password': ***} for https://***@host"
    """
    if _is_plain(text) or not _TELLTALES.search(text):
        return text
    # The patterns are strings: re compiles them when the first text needs them, which most programs never have.
    text = re.sub(_WEB_LOGIN, rf"\1{MASK}@", re.sub(_USERINFO, f"{MASK}@", text))
    text = re.sub(_WEB_QUERY, lambda found: found[1] + redact_query(found[2]), text)
    text = re.sub(_MAPPED_SECRET, rf"\1{MASK}", re.sub(_HEADER, rf"\1{MASK}", text))
    return re.sub(_BEARER, rf"\1 {MASK}", re.sub(_NAMED_SECRET, rf"\1{MASK}", text))


def _is_plain(text: str) -> bool:
    """Whether it is surely without any of `_TELLTALES`: a quick look, which spares most URLs the search."""
    if "@" in text or "?" in text or "=" in text or "'" in text or '"' in text or text.count(":") > 1:
        return False
    low = text.lower()
    if "cookie" in low or "authorization" in low or "bearer" in low or "basic" in low or "negotiate" in low:
        return False
    return ":" not in low or low.startswith(_QUICK)


def redact_address(address: str) -> str:
    """As `redact`, of what is known to be the address of a server or a proxy, which need not begin with ``http://``.

    Examples:
        >>> redact_address("me:secret@proxy.corp:3128")
        '***@proxy.corp:3128'
    """
    return redact(address) if "://" in address else _redact_bare_address(_protected.hide(address))


def is_open_address(address: str) -> bool:
    """Whether the address of a server or a proxy says nothing but where it is: no login, and no signature."""
    return (redact_places(address) if "://" in address else _redact_bare_address(address)) == address


def _redact_bare_address(address: str) -> str:
    return redact_places(f"https://{address}").removeprefix("https://")


def redact_query(query: str) -> str:
    """Mask the parameters of a web address that are not known to be harmless.

    Examples:
        >>> redact_query("prefix=a&X-Amz-Signature=abc")
        'prefix=a&X-Amz-Signature=***'
    """
    return "&".join(_redact_parameter(parameter) for parameter in query.split("&"))


def _redact_parameter(parameter: str) -> str:
    name, equals, value = parameter.partition("=")
    if name.lower() in _SHOWN_PARAMETERS or not (value or name.strip(").,;:]}")):
        return parameter
    return f"{name}={MASK}" if equals else MASK


# --- secrets known by their value ---------------------------------------------

SHORTEST: Final = 6
"""Shorter values are not hidden: they would take half of the words with them, and guard nothing."""
_KEPT: Final = 256
_EVERYDAY: Final = frozenset(
    {"anonymous", "credential", "credentials", "default", "password", "public", "secret", "testing", "token"}
)
"""Passwords of test servers that every other message is made of; hiding them would hide the messages."""


class _Protected:
    """The secrets that this process was given, in every spelling they may be printed in.

    A secret that was replaced by a newer one stays: an answer or a log line that
    is still on its way may hold it. Only the last 256 are kept, so that a
    service with credentials by the hour does not grow.
    """

    def __init__(self) -> None:
        self._values: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._pattern: re.Pattern[str] | None = None  # made when needed: secrets often come by the dozen
        self.unlock()

    def unlock(self) -> None:
        """In a forked child, nobody is left who could."""
        self._lock = threading.Lock()

    def add(self, value: str) -> None:
        with self._lock:
            if value in self._values:
                self._values.move_to_end(value)
                return
            self._values[value] = tuple(_spellings(value))
            while len(self._values) > _KEPT:
                self._values.popitem(last=False)
            self._pattern = None

    def hide(self, text: str) -> str:
        if not self._values:
            return text
        return (self._pattern or self._compiled()).sub(MASK, text)

    def _compiled(self) -> re.Pattern[str]:
        with self._lock:
            spellings = {spelling for known in self._values.values() for spelling in known}
            # The longest first: a short secret may be the beginning of a long one.
            pattern = re.compile("|".join(map(_literal, sorted(spellings, key=len, reverse=True))))
            self._pattern = pattern
            return pattern


def _literal(value: str) -> str:
    if not value.isalpha() or len(value) >= 16:
        return re.escape(value)
    # A password that is a word must not tear holes into longer words and names. An escape before it is no part of a word.
    begins = r"(?:(?<![^\W\d])(?<!-)|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrtbf]))"
    return rf"{begins}{re.escape(value)}(?![^\W\d]|-)"


def _spellings(value: str) -> Iterator[str]:
    raw = value.encode("utf-8", "surrogatepass")
    import html  # noqa: PLC0415 - a table of all entities, for who has secrets

    yield from (value, repr(value)[1:-1], json.dumps(value)[1:-1], html.escape(value))
    yield from (quote(raw, safe=""), quote(raw), quote_plus(raw))
    yield from (base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="))
    lines = value.split()
    if len(lines) > 1:  # a key file: its lines, too, and as one line
        yield " ".join(lines)
        yield from (line for line in lines if len(line) >= 2 * SHORTEST)


_protected: Final = _Protected()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_protected.unlock)


def protect(value: str | bytes) -> None:
    """Hide a secret from every text that is redacted from now on.

    Args:
        value: The secret. Less than six characters are not hidden.
    """
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if len(text.strip()) >= SHORTEST and text.strip().lower() not in _EVERYDAY:
        _protected.add(text.strip())


def protect_login(userinfo: str) -> None:
    """Hide the password of a ``user:password``, also as the web sends both."""
    user, colon, password = userinfo.partition(":")
    for one in {password, unquote(password)} if colon and password else ():
        protect(one)
        protect(base64.b64encode(f"{unquote(user)}:{one}".encode()).decode().rstrip("="))


def protect_logins(text: str) -> None:
    """Hide the passwords of all ``scheme://user:password@`` in a text, also of those that hold a slash.

    A password with a slash that nobody has quoted ends up as a name, too; so its parts are hidden as well.
    """
    for found in re.finditer(_USERINFO, text) if "@" in text else ():
        userinfo = found[0][:-1]
        protect_login(userinfo)
        for part in userinfo.partition(":")[2].split("/"):
            protect(part)


def protect_url(url: str) -> None:
    """Hide the logins in a URL, or in the links of a chain, and what signs it."""
    protect_logins(url)
    for link in url.split("::"):
        scheme, _, rest = link.partition("://")
        userinfo = rest.partition("/")[0].rpartition("@")[0]
        if ":" not in userinfo and re.fullmatch(_WEB, f"{scheme}://", re.IGNORECASE):
            protect(userinfo)
            protect(unquote(userinfo))
        for parameter in link.partition("?")[2].split("&"):
            name, _, value = parameter.partition("=")
            if name.lower() not in _SHOWN_PARAMETERS and len(value) >= 2 * SHORTEST:
                protect(value)
                protect(unquote(value))


# --- errors of others -------------------------------------------------------------


class RedactedError(Exception):
    """Stands for an error whose text held a secret: says what it was, and keeps its traceback.

    Attributes:
        original: Dotted name of the error's class.
    """

    def __init__(self, original: str, text: str) -> None:
        super().__init__(original, text)
        self.original = original

    def __str__(self) -> str:
        return ": ".join(filter(None, self.args))


def stand_in(exc: BaseException) -> BaseException:
    """An error whose texts, and those of all its causes, hold no secret.

    Args:
        exc: Left as it is, unless it is one of ours: those have no secrets of their own, and only get other causes.

    Returns:
        *exc* itself when there is nothing to hide; else a `RedactedError` in its place, with one in place of each of
        its foreign causes.
    """
    links = list(_links(exc))
    if not any(_shows_secret(link) for link in links):
        return exc
    twins = {id(link): _twin(link) for link in links}
    # In two steps, because one of ours is its own twin: its causes are read before they are replaced.
    causes = [(twins[id(link)], link.__cause__, link.__context__, link.__suppress_context__) for link in links]
    for twin, cause, context, suppressed in causes:
        twin.__cause__, twin.__context__ = twins.get(id(cause)), twins.get(id(context))
        twin.__suppress_context__ = suppressed
    return twins[id(exc)]


def _links(exc: BaseException) -> Iterator[BaseException]:
    """The error and everything that a printed traceback of it shows."""
    seen: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [exc]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen[id(link)] = link
            yield link
            waiting += [link.__cause__, link.__context__]


def _parts(exc: BaseException) -> tuple[BaseException, ...]:
    """Those of an exception group."""
    return tuple(part for part in getattr(exc, "exceptions", ()) if isinstance(part, BaseException))


def _shows_secret(exc: BaseException) -> bool:
    texts = [_text_of(str, exc), _text_of(repr, exc), *map(str, getattr(exc, "__notes__", ()))]
    texts += [arg if isinstance(arg, str) else _text_of(repr, arg) for arg in exc.args]
    return any(redact(text) != text for text in texts) or any(
        _shows_secret(link) for part in _parts(exc) for link in _links(part)
    )


def _text_of(how: type[str] | Any, what: object) -> str:
    try:
        return str(how(what))
    except Exception:  # noqa: BLE001 - some errors compute their text, and fail at it
        return ""


def _twin(exc: BaseException) -> BaseException:
    from persistence_fsspec.errors import PersistenceError  # noqa: PLC0415 - it is built on this module

    if isinstance(exc, PersistenceError):
        exc.message, exc.url, exc.hint = redact(exc.message), redact(exc.url), redact(exc.hint)
        exc.args = tuple(redact(arg) if isinstance(arg, str) else arg for arg in exc.args)
        return exc
    twin = RedactedError(f"{type(exc).__module__}.{type(exc).__qualname__}", redact(_text_of(str, exc)))
    twin.__traceback__ = exc.__traceback__
    parts = [f"{type(part).__qualname__}: {_text_of(str, part)}" for part in _parts(exc)]
    notes = [redact(str(note)) for note in (*getattr(exc, "__notes__", ()), *parts)]
    if notes:
        twin.__notes__ = notes  # type: ignore[attr-defined]  # shown since Python 3.11
    return twin


# --- log records --------------------------------------------------------------------


class _RedactingFilter(logging.Filter):
    """Every record of the package's logger loses its secrets before a handler sees it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        for name, value in list(vars(record).items()):
            if name.startswith("persistence_"):
                setattr(record, name, _redact_field(value))
        if record.exc_info and record.exc_info[1] is not None:
            error = stand_in(record.exc_info[1])
            record.exc_info = (type(error), error, record.exc_info[2])
        return True


def _redact_field(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    return stand_in(value) if isinstance(value, BaseException) else value


logging.getLogger("persistence_fsspec").addFilter(_RedactingFilter())
