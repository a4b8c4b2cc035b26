"""Ids and addresses that a hostile or broken service may give."""

from __future__ import annotations

from collections.abc import Mapping

IDS: Mapping[str, str] = {
    "traversal": "../../admin",
    "encoded-traversal": "..%2f..%2fadmin",
    "dots": "..",
    "empty": "",
    "long": "n" * 10_000,
    "line-break": "n1\r\nX-Injected: 1",
    "nul": "n1\0",
    "escape": "n1\x1b[2J",
    "bidi": "n1\u202egnp",
    "surrogate": "n1\ud800",
    "spaces": " n1 ",
    "url": "https://images.example/n1",
    "query": "n1?key=1#top",
    "script": "<script>alert(1)</script>",
    "formula": "=1+1",
}

URLS: Mapping[str, str] = {
    "other-host": "https://images.example/x.png",
    "plain-http": "http://images.example/x.png",
    "javascript": "javascript:alert(1)",
    "data": "data:text/html,<script>alert(1)</script>",
    "file": "file:///etc/passwd",
    "ftp": "ftp://images.example/x.png",
    "private": "http://10.0.0.1/x.png",
    "private-https": "https://192.168.0.1/x.png",
    "metadata": "http://169.254.169.254/latest/meta-data/",
    "zero": "http://0.0.0.0:9/x.png",
    "decimal": "http://2130706433:9/x.png",
    "mapped": "http://[::ffff:10.0.0.1]/x.png",
    "nat64": "https://[64:ff9b::a00:1]/x.png",
    "site-local": "https://[fec0::1]/x.png",
    "credentials": "https://user:secret@images.example/x.png",
    "other-port": "https://images.example:22/x.png",
    "bad-port": "http://images.example:99999/x.png",
    "no-host": "http:///x.png",
    "no-scheme": "//images.example/x.png",
    "relative": "../x.png",
    "empty": "",
    "long": f"https://images.example/{'x' * 100_000}",
}

UNSENDABLE_URLS: Mapping[str, str] = {
    "full-width": "http://\uff11\uff10.0.0.1/x.png",
    "line-break": "https://images.example/\r\nX-Injected: 1",
    "escape": "https://images.example/\x1b[2J",
    "bidi": "https://images.example/\u202egnp.exe",
}
"""Addresses that no header can carry."""
