"""HTML becomes what a reader sees of it, whatever it looks like and without taking long."""

import time

import pytest

from deliveries.neighbours.markup import text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<h1>Hi O&#39;Brien</h1><p>Tom &amp; Jerry</p>", "Hi O'Brien Tom & Jerry"),
        ("Hello <b>Ada</b>!<br>Bye", "Hello Ada! Bye"),
        ("<p style='a'>1 &lt; 2</p>", "1 < 2"),
        ("<html><head><title>no</title><style>p{}</style></head><body>yes</body></html>", "yes"),
        ("a<script>if (a < b) alert('<b>')</script>b", "ab"),
        ("a<!-- no -->b", "a b"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("<", "<"),
        ("<p", "<p"),
        ("", ""),
        ("  plain\n text ", "plain text"),
    ],
)
def test_html_as_text(html, text):
    assert text_of(html) == text


@pytest.mark.parametrize(
    "html",
    [
        "<" + "a" * 65000,
        *(piece * (65536 // len(piece)) for piece in ("<", "<a", "<script>", "<!--", "</", "<p <", "&lt", "a<b>")),
    ],
    ids=lambda html: html[:8],
)
def test_no_input_takes_long(html):
    started = time.monotonic()
    text_of(html)
    assert time.monotonic() - started < 1
