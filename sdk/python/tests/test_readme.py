"""What the README shows is run: the http.server receiver with real requests, the docstrings' examples as they stand."""

import ast
import doctest
import hashlib
import hmac
import http.client
import importlib.util
import os
import re
import subprocess
import sys
import unittest

from linkme_webhooks import ed25519, envelope, signature

from .support import PACKAGE, ROOT

HAS_CRYPTOGRAPHY = importlib.util.find_spec("cryptography") is not None

SECRET = "whsec_local"
CLICK = '{"id":"1","event":"link.click","data":{"note":"👟"}}'.encode()


def readme_example(heading):
    """The first Python block below a heading of the README."""
    section = (PACKAGE / "README.md").read_text(encoding="utf-8").split(f"\n## {heading}\n")[1]
    return re.search(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE).group(1)


def sign(body):
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def post(port, body, signatures, path="/webhooks/linkme", length=None):
    """The status of a POST. ``length`` is declared instead of the true one; "" declares none."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.putrequest("POST", path)
        declared = str(len(body)) if length is None else length
        if declared:
            connection.putheader("Content-Length", declared)
        for value in signatures:
            connection.putheader("X-LinkMe-Signature", value)
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        connection.close()


class ReadmeTest(unittest.TestCase):
    def test_the_http_server_receiver_accepts_signed_events_once_and_nothing_else(self):
        receiver = subprocess.Popen(
            [sys.executable, "-c", readme_example("With http.server")],
            env={**os.environ, "LINKME_WEBHOOK_SECRET": SECRET, "PORT": "0", "PYTHONPATH": str(PACKAGE)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            port = int(re.fullmatch(r"listening on port (\d+)\n", receiver.stdout.readline()).group(1))
            good = sign(CLICK)
            self.assertEqual(post(port, CLICK, [good]), 204)
            self.assertEqual(receiver.stdout.readline(), "received link.click 1\n")
            self.assertEqual(post(port, CLICK, [good]), 204, "a repeated delivery is accepted")
            cases = [
                ("another body", CLICK + b" ", [good], 401),
                ("no signature", CLICK, [], 401),
                ("the header twice", CLICK, [good, good], 401),
                ("an empty body", b"", [good], 401),
                ("signed, but no JSON", b"{", [sign(b"{")], 400),
                ("signed, but no UTF-8", b"\xff\xff", [sign(b"\xff\xff")], 400),
                ("signed, but no envelope", b"[]", [sign(b"[]")], 400),
            ]
            for why, body, signatures, status in cases:
                self.assertEqual(post(port, body, signatures), status, why)
            # These are answered without reading a body, so none is sent.
            self.assertEqual(post(port, b"", [good], "/other"), 404)
            for length, status in [("", 411), ("-1", 411), ("1e3", 411), ("1048577", 413), ("9" * 9, 413), ("9" * 5000, 411)]:
                self.assertEqual(post(port, b"", [good], length=length), status, length)

            shared = b'{"id":"2","event":"link.shared"}'
            self.assertEqual(post(port, shared, [sign(shared)]), 204)
            self.assertEqual(receiver.stdout.readline(), "received link.shared 2\n", "the repeated one was not printed")
        finally:
            receiver.kill()
            receiver.wait()
            receiver.stdout.close()

    def test_the_flask_receiver_is_correct_python(self):
        ast.parse(readme_example("With Flask"))

    def test_the_examples_in_the_docstrings_are_true(self):
        # The example of ed25519 verifies, for which the package cryptography is needed.
        modules = (ed25519, envelope, signature) if HAS_CRYPTOGRAPHY else (envelope, signature)
        for module in modules:
            results = doctest.testmod(module)
            self.assertEqual((results.failed, results.attempted), (0, 1), module.__name__)

    def test_the_licence_is_that_of_the_project(self):
        self.assertEqual((PACKAGE / "LICENSE").read_bytes(), (ROOT / "LICENSE").read_bytes())
