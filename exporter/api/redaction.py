"""Free texts and links of the service, without what may be a secret in them.

Spark writes its configuration and its environment into error texts, and links carry tokens. What
is replaced is named by what stands before it (`password=...`, `Authorization: ...`), or is a key
id, a token or a long random word by its form. Identifiers and names are data and pass unchanged.
"""

import html
import re
from typing import Final
from urllib.parse import unquote_plus, urlsplit, urlunsplit

REDACTED: Final = "\u2026"

_MAX_LENGTH: Final = 4096
"""Characters of a text that are looked at; what follows is dropped."""

_NAME: Final = (
    r"(?:secret|passw|passphrase|pwd|token|credential|authori[sz]ation|signature|cookie"
    r"|(?:access|api|account|private|security|encryption|shared)[-_. ]?key"
    "|\u5bc6\u7801|\u53e3\u4ee4|\u5bc6\u94a5|\u4ee4\u724c)"  # password, passcode, key, token
)
_QUOTES: Final = r"[\"'\\]{0,4}"
_SEPARATOR: Final = r"\s{0,8}(?:[:=\uff1a]+>?|->|%3[aAdD]|\bis\b|\s(?=[\"']))\s{0,8}"
_SCHEME: Final = r"(?:Bearer|Basic|Digest|Negotiate|Token|ACS3-HMAC-SHA256)"
_BARE: Final = r"[^\s,;&\"'|\\]*[^\s,;&\"'<>(){}\[\]|\\]"
"""A word, with the brackets inside of it, but not those behind it."""
_VALUE: Final = (
    rf"(?:{_SCHEME}\s+)?"
    rf"(?:\\*\"(?:[^\"\\]|\\[^\"])*\\*\"?|'[^']*'?|[,;&|)\]}}>\\]{{0,4}}{_BARE})"
)
_ENCLOSED: Final = "|".join(
    # Brackets within brackets once; to the end of the text if they are nested deeper or open.
    f"{begin}(?:[^{begin}{end}]++|{begin}[^{begin}{end}]*+{end})*+{end}(?:{_BARE})?|{begin}.*"
    for begin, end in ((r"\[", r"\]"), (r"\(", r"\)"), (r"\{", r"\}"), ("<", ">"))
)
_KEY: Final = rf"{_NAME}[\w.\-]{{0,40}}"
_BETWEEN: Final = (
    rf"{_QUOTES}(?:\s{{0,8}},?\s{{0,8}}{_QUOTES}(?:value|content){_QUOTES})?{_SEPARATOR}"
)
"""Between a key and its value, also in `name="..." value="..."` and its like in JSON."""
_ELEMENT: Final = (
    rf"(<(?=[^<>]{{0,80}}{_NAME})(?P<tag>[\w:.\-]{{1,80}})[^<>]*(?<!/)>)(?!</)"
    r"(?:.+?(?=</(?P=tag)\s?>)|[^\s.]\S*$)"
)
"""To the end tag; without one, `<token>` may be a placeholder or a type, unless a word follows."""
_PATTERNS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"-----BEGIN [^-]{1,40}-----.*", REDACTED),
        (rf"({_KEY}{_BETWEEN}{_QUOTES})(?:{_ENCLOSED})", rf"\1{REDACTED}"),
        (_ELEMENT, rf"\1{REDACTED}"),
        (
            rf"({_KEY}\s?</[\w:]+>\s?<(?:value|string|td|dd)\b[^<>]*>).+?(?=</|$)",
            rf"\1{REDACTED}",
        ),
        (r"((?:set-)?cookie\s{0,8}:)[^\"']+", rf"\1 {REDACTED}"),
        (
            r"(authori[sz]ation[\"'\\]{0,4}\s{0,8}[:=]\s{0,8}[\"'\\]{0,4})[^\"'\\]+",
            rf"\1{REDACTED}",
        ),
        (rf"({_KEY}{_BETWEEN}){_VALUE}", rf"\1{REDACTED}"),
        (rf"(\({_QUOTES}[\w.\-]{{0,80}}{_KEY}(?:{_QUOTES},|[\"'],\s)){_VALUE}", rf"\1{REDACTED}"),
        (rf"(--?[\w\-.]{{0,40}}{_NAME}[\w\-]{{0,40}}\s{{1,8}})[^\s\-]\S*", rf"\1{REDACTED}"),
        (rf"\b({_SCHEME}\s+)(?=\S*[\d=_])[\w.~+/=\-]{{8,}}", rf"\1{REDACTED}"),
        (r"(?<=://)[^\s\"'<>@]{0,512}@", f"{REDACTED}@"),
    )
)
_FORMS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![A-Za-z0-9])(?:LTAI|STS\.|TMP\.|AKIA|ASIA)[A-Za-z0-9]+",
        r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_\-]{5,}(?:\.[A-Za-z0-9_\-]*)*",
    )
)
_MIXED: Final = r"(?=[A-Za-z0-9]*[a-z])(?=[A-Za-z0-9]*[A-Z])(?=[A-Za-z0-9]*\d)[A-Za-z0-9]{24,}"
_RANDOM_WORDS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{20,}={1,2}",
        rf"(?<![A-Za-z0-9]){_MIXED}",
        r"[A-Za-z0-9+=_%\-]{40,}",
    )
)
_TRIGGERS: Final = (
    *("secret", "passw", "passphrase", "pwd", "token", "credential", "authori", "signature"),
    *("cookie", "key", "bearer", "basic", "digest", "negotiate", "acs3-hmac", "-----begin", "@"),
    *("ltai", "sts.", "tmp.", "akia", "asia", "eyj"),
)
"""In lower case: an ASCII text without any of them matches none of `_PATTERNS` and `_FORMS`."""

_ESCAPE: Final = re.compile(r"\\u00([2-7][0-9a-fA-F])")
"""As Java's JSON writers escape `=`, `<` and quotes."""

_LONG_WORD: Final = re.compile(r"[A-Za-z0-9+/=_%\-]{20}")
"""A part of whatever `_RANDOM_WORDS` match."""

_SECRET_PARAMETER: Final = re.compile(
    rf"[^=]*(?:{_NAME}|auth|key|sig|ticket|jwt|pass|otp)[^=]*=", re.IGNORECASE
)
_LINK: Final = re.compile(r"https?://[^\s\\]+", re.IGNORECASE)
_PLAIN_LINK: Final = re.compile(r"(?i:https?)://\w[\w:/.,~\-]*", re.ASCII)


def redact(text: str) -> str:
    """Return a text on one line, with whatever may be a secret replaced."""
    line = " ".join(text[:_MAX_LENGTH].split())
    unescaped = _unescape(line)
    redacted = _replace_known(unescaped)
    if unescaped != line and redacted == unescaped:
        redacted = _replace_known(line)
    line = redacted
    if _LONG_WORD.search(line):
        for pattern in _RANDOM_WORDS:
            line = pattern.sub(REDACTED, line)
    return line


def redact_link(link: str) -> str:
    """Return an address of the web without user info and without parameters that may be secrets.

    `""` if its path holds one, or if no browser should be sent to it.
    """
    if _PLAIN_LINK.fullmatch(link) and _replace_known(link) == link:  # as nearly all of them
        return link
    if not link.isprintable() or not _LINK.fullmatch(link):
        return ""
    try:
        parts = urlsplit(link)
        hostname, _ = parts.hostname, parts.port  # which raises where it is not a port
    except ValueError:
        return ""
    path = _unquote(parts.path)
    if not hostname or _replace_known(path) != path:
        return ""
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(part for part in re.split("[&;]", parts.query) if not _may_be_secret(part))
    fragment = "" if _may_be_secret(parts.fragment) else parts.fragment
    return urlunsplit((parts.scheme, host, parts.path, query, fragment))


def _replace_known(line: str) -> str:
    if line.isascii():  # as nearly all texts and links, of which a history has a million
        lowered = line.lower()
        for word in _TRIGGERS:  # any() takes twice as long
            if word in lowered:
                break
        else:
            return line
    for pattern, replacement in _PATTERNS:
        line = pattern.sub(replacement, line)
    for pattern in _FORMS:
        line = pattern.sub(REDACTED, line)
    return line


def _unescape(line: str) -> str:
    """Undo the escapes of HTML and JSON, with which no name of a secret is recognized."""
    if "&" not in line and "\\u00" not in line:  # as nearly all texts
        return line
    characters = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), line)
    return " ".join(html.unescape(characters).split())


def _may_be_secret(parameter: str) -> bool:
    plain = _unquote(parameter)
    return _SECRET_PARAMETER.search(plain) is not None or redact(plain) != " ".join(plain.split())


def _unquote(text: str) -> str:
    """Undo percent-encoding, which may have been applied more than once."""
    for _ in range(3):
        text = unquote_plus(text)
    return text
