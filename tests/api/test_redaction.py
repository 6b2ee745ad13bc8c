import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.api import redaction
from exporter.api.redaction import redact, redact_link

SECRET = "Hunter2sentinel"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzZW50aW5lbCJ9.c2VudGluZWw"


@pytest.mark.parametrize(
    "text",
    [
        f"fs.oss.accessKeySecret={SECRET}",
        f"accessKeySecret: {SECRET}, retry",
        f'{{"accessKeySecret":"{SECRET}"}}',
        f'{{\\"password\\":\\"{SECRET}\\"}}',
        f"spark.ssl.keyPassword = {SECRET}",
        f"javax.jdo.option.ConnectionPassword='{SECRET} with spaces'",
        f'password="{SECRET} {SECRET}"',
        f"jdbc:mysql://db/x?user=ann&password={SECRET}&ssl=true",
        f"jdbc:mysql://ann:{SECRET}@db:3306/x",
        f"https://{SECRET}@git.example.com/x.git",
        f"curl -u --password {SECRET} https://x",
        f"spark-submit --conf-token {SECRET}",
        f"security_token => {SECRET}",
        f"password is {SECRET}",
        f"password '{SECRET}'",
        f"passwd%3D{SECRET}",
        f"\u5bc6\u7801\uff1a{SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"Authorization: Basic {SECRET}== at",
        f'"Authorization": "ACS3-HMAC-SHA256 Credential=x,Signature={SECRET}"',
        f"authorization=Bearer  {SECRET}",
        f"used Bearer {SECRET}",
        f"Cookie: a={SECRET}; b={SECRET}",
        f"Set-Cookie: sid={SECRET}; Path=/",
        f"X-Amz-Security-Token:\n   {SECRET}",
        "key LTAI5tsentinel of the user",
        "\u7528\u6237LTAI5tsentinel\u65e0\u6743",
        "STS.NTsentinel expired",
        f"token {JWT} expired",
        f"invalid {JWT}",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEsentinel\n-----END RSA PRIVATE KEY-----",
        "tried sentinel0KpQ7xVbN2mL9wRtYcDeFg",
        "blob c2VudGluZWxzZW50aW5lbHNlbnRpbmVs/sentinel==",
        "x" * 4090 + f" password={SECRET}",
        f"password=[{SECRET}]",
        f"password: ( {SECRET}, {SECRET} )",
        f"password={{{SECRET}}}",
        f"password=<{SECRET}>",
        f"password=[[{SECRET}], {SECRET}] x",
        f"password=[[[x], {SECRET}], {SECRET}]",
        f"password=[x, {SECRET}",
        f"password=[x]{SECRET}",
        f"password=x({SECRET}",
        f"password=),{SECRET}",
        f'"password": ["x", "{SECRET}"]',
        f'"credentials": {{"a": {{"b": 1}}, "c": "{SECRET}"}}',
        f'{{\\"password\\":[\\"{SECRET}\\"]}}',
        f'Set-Cookie: ["sid={SECRET}"]',
        f"{{Set-Cookie=[sid={SECRET}; Path=/, b={SECRET}]}}",
        f"(fs.oss.accessKeySecret,{SECRET})",
        f"('password', '{SECRET}')",
        f"<password>{SECRET} {SECRET}</password>",
        f"<ns:password type='text'>\n{SECRET}\n</ns:password>",
        f"<password><![CDATA[{SECRET}<{SECRET}]]></password>",
        f"password: <b>{SECRET}</b>",
        f"<password>{SECRET}",
        f"<credentials><a>{SECRET}</a><b>{SECRET}</b></credentials>",
        f"<name>ConnectionPassword</name>\n  <value>x {SECRET}</value>",
        f"<td>password</td><td>{SECRET}</td>",
        f'<property name="password">{SECRET}</property>',
        f'<property name="password" value="{SECRET}"/>',
        f'{{"name": "spark.password", "value": "{SECRET}"}}',
        f"&lt;password&gt;{SECRET}&lt;/password&gt;",
        f"{{&quot;password&quot;:&quot;{SECRET}&quot;}}",
        f"password\\u003d{SECRET}",
        f"\\u003cpassword\\u003e{SECRET}\\u003c/password\\u003e",
    ],
)
def test_what_may_be_a_secret_is_replaced(text: str) -> None:
    """Nothing that follows the name of a secret, or looks like one, is left."""
    found = redact(text)
    assert "sentinel" not in found
    assert "c2VudGluZWw" not in found


@pytest.mark.parametrize(
    "text",
    [
        "The queue root_queue has no capacity left (requested 40 CU, available 8 CU).",
        "java.lang.OutOfMemoryError: Java heap space at org.apache.spark.sql.execution.Project",
        "File oss://bucket/warehouse/db.db/table/part-00000-3f2b.snappy.parquet does not exist",
        "Session livy-0123456789abcdef was stopped by user ann after 30 min idle",
        "password must not be empty; the token has expired",
        "Container exited with code 137 on 10.0.0.8:7337",
        "usage: login <user> <password> [options]; R&amp;D uses \\u003cb\\u003e",
        "java.util.List<org.apache.hadoop.security.token.Token> cannot be cast (Foo.java:12)",
        "missing (password, user): call getToken() of Map<String, Token> in [cn-hangzhou]",
        "<h1>Invalid token</h1><p>The token has expired</p>",
        "\u8d44\u6e90\u4e0d\u8db3\uff0c\u8bf7\u7a0d\u540e\u91cd\u8bd5",
    ],
)
def test_what_is_of_use_stays(text: str) -> None:
    """Texts that hold no secret are shown as they are."""
    assert redact(text) == text


@pytest.mark.parametrize(
    ("link", "kept"),
    [
        (
            "https://ui.example.com/app/1?tab=jobs#stage",
            "https://ui.example.com/app/1?tab=jobs#stage",
        ),
        (f"https://ann:{SECRET}@ui/x", "https://ui/x"),
        (f"https://{SECRET}@ui/x?a=1", "https://ui/x?a=1"),
        (f"https://ui/x?a=1&token={SECRET}&b=2", "https://ui/x?a=1&b=2"),
        (f"https://ui/x?to%6ben={SECRET}", "https://ui/x"),
        (f"https://ui/x?u=%2570assword%253D{SECRET}", "https://ui/x"),
        (f"https://ui/x?sig={SECRET};a=1", "https://ui/x?a=1"),
        (f"https://ui/x?a={JWT}", "https://ui/x"),
        ("https://ui/x?a=LTAI5tsentinel", "https://ui/x"),
        (f"https://ui/x#access_token={SECRET}", "https://ui/x"),
        ("https://ui/LTAI5tsentinel/x", ""),
        (f"https://ui/x;password={SECRET}", ""),
        (f"https://ann:{SECRET}/x@ui/", ""),
        ("https://[::1", ""),
        ("https://ui/x?sessionId=livy-1", "https://ui/x?sessionId=livy-1"),
    ],
)
def test_links_lose_their_secrets(link: str, kept: str) -> None:
    """A link has no user info, and no parameter that may be a secret."""
    assert redact_link(link) == kept


@pytest.mark.parametrize(
    "text",
    [
        *("a" * 100_000, "password" * 10_000, "://" * 30_000, "token=" * 20_000, "-" * 90_000),
        *("<token> " * 10_000, "password={([" * 10_000, "password=" + ")" * 90_000),
        *("password=[a[b" * 10_000, "password=" + "[[a]" * 20_000, "(token" + "-" * 90_000),
        *("<" + "token " * 10_000, "password</a><value>" * 10_000, "&lt;token\\u003c" * 10_000),
    ],
    ids=lambda text: text[:15],
)
def test_long_texts_take_no_time(text: str) -> None:
    """The time that a text takes is bounded, whatever it is."""
    start = time.process_time()
    redact(text)
    assert time.process_time() - start < 0.5


PIECES = (
    *("secret", "Passwd", "passphrase", "PWD", "token", "credential", "Authorization", "signature"),
    *("Cookie", "access-key", "api key", "Bearer ", "basic ", "ACS3-HMAC-SHA256 ", "://", "@"),
    *("LTAI5x", "STS.x1", "eyJhbGciOi", "AKIAX", "-----BEGIN x-----", "--", "=", ": ", " is ", " "),
    *("<", ">", "</", "<value>", "[", "]", "(", ")", "{", "}", ","),
    *("abc", "Zz9", "0123456789abcdefABCDEF", "hockey", "/", "'", '"', "cn-hangzhou", "a.b"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_the_short_cut_changes_nothing(drawn: str) -> None:
    """What is left alone without a look at every pattern is matched by none of them."""
    slow = " ".join(drawn.split())
    for pattern, replacement in redaction._PATTERNS:  # noqa: SLF001 - what the short cut leaves out
        slow = pattern.sub(replacement, slow)
    for pattern in (*redaction._FORMS, *redaction._RANDOM_WORDS):  # noqa: SLF001 - likewise
        slow = pattern.sub(redaction.REDACTED, slow)
    assert redact(drawn) == slow
