"""What the README shows is run: each receiver with requests, the http.server one over a socket, the rest as it stands."""

import contextlib
import doctest
import hashlib
import hmac
import http.client
import importlib
import io
import json
import os
import re
import subprocess
import sys
import unittest

from unittest import mock

import linkme_webhooks
from linkme_webhooks import (
    dedupe,
    ed25519,
    envelope,
    read_event,
    receiver,
    sign_test_payload,
    signature,
)

from .frameworks import Served, django_urls, open_django
from .support import PACKAGE, ROOT, read_samples, readme_example

SECRET = "whsec_local"
CLICK = '{"id":"1","event":"link.click","data":{"note":"👟"}}'.encode()


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
        connection.putheader("Content-Type", "application/json")
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        connection.close()


def run_example(heading, environment=None, **names):
    """What the example defines, after ``names`` are there and the secret is set."""
    with mock.patch.dict(os.environ, {"LINKME_WEBHOOK_SECRET": SECRET, **(environment or {})}):
        # Flask looks for its templates beside the module that it is told.
        names["__name__"] = __name__
        exec(readme_example(heading), names)
    return names


def serve_asgi(namespace):
    return Served(namespace["app"], True)


def serve_wsgi(namespace):
    return Served(namespace["app"], False)


def serve_urls(namespace):
    urls = django_urls(lambda path: namespace["urlpatterns"])
    return Served(open_django(ROOT_URLCONF=urls.__name__, MIDDLEWARE=[]), False)


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
            self.assertEqual(post(port, CLICK, [good]), 200)
            self.assertEqual(receiver.stdout.readline(), "received link.click 1\n")
            self.assertEqual(post(port, CLICK, [good]), 200, "a repeated delivery is accepted")
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
            for length, status in [("", 401), ("-1", 401), ("1e3", 401), ("1048577", 413), ("9" * 9, 413), ("9" * 5000, 401)]:
                self.assertEqual(post(port, b"", [good], length=length), status, length)

            shared = b'{"id":"2","event":"link.shared"}'
            self.assertEqual(post(port, shared, [sign(shared)]), 200)
            self.assertEqual(receiver.stdout.readline(), "received link.shared 2\n", "the repeated one was not printed")
        finally:
            receiver.kill()
            receiver.wait()
            receiver.stdout.close()

    def test_the_receivers_for_frameworks_take_a_signed_claim_once_and_refuse_a_forged_one(self):
        claim = read_samples()["link.claim.json"]
        printed = f"claimed {claim['data']['link_id']} {claim['data']['user_id']}\n"
        for heading, serve in (("FastAPI", serve_asgi), ("Flask", serve_wsgi), ("Django", serve_urls)):
            with self.subTest(heading):
                namespace = run_example(f"With {heading}")
                served = serve(namespace)
                request = sign_test_payload(claim, secret=SECRET)
                output = io.StringIO()
                with contextlib.redirect_stdout(output):
                    answers = [served.send(request.headers, request.body) for _ in range(2)]
                    forged = served.send(request.headers, request.body + b" ")
                self.assertEqual([json.loads(body)["outcome"] for _, _, body in answers], ["processed", "duplicate"])
                self.assertEqual((forged[0], output.getvalue()), (401, printed))

    def test_the_receiver_with_secrets_that_come_later_reads_them_with_each_request(self):
        asked = []
        names = {"Receiver": receiver.Receiver, "read_secret": lambda name: asked.append(name) or SECRET}
        made = run_example("Secrets that come later", **names)["receiver"]
        request = sign_test_payload(CLICK, secret=SECRET)
        self.assertEqual(asked, [])
        self.assertEqual(made.receive("POST", request.headers, request.body).status, 200)
        self.assertEqual(asked, ["linkme-webhook"])

    def test_the_receiver_of_a_rotation_takes_either_secret_and_goes_without_the_next_one(self):
        names = {"Receiver": receiver.Receiver, "os": os}
        for next_secret, expected in (("whsec_bmV4dA==", [200, 200]), ("", [200, 401])):
            made = run_example("Rotating the secret", {"LINKME_WEBHOOK_SECRET_NEXT": next_secret}, **names)["receiver"]
            statuses = []
            for secret in (SECRET, "whsec_bmV4dA=="):
                request = sign_test_payload(CLICK, secret=secret)
                statuses.append(made.receive("POST", request.headers, request.body).status)
            self.assertEqual(statuses, expected)

    def test_the_example_of_a_test_holds_and_the_one_without_a_receiver_tells_good_from_forged(self):
        run_example("Testing your receiver")
        receive = run_example("Without a receiver")["receive"]
        request = sign_test_payload(read_samples()["link.claim.json"], secret=SECRET)
        headers = {"X-LinkMe-Signature": request.headers["x-linkme-signature"]}
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            statuses = [receive(request.body, headers, SECRET), receive(request.body + b" ", headers, SECRET)]
        self.assertEqual((statuses, output.getvalue()), ([200, 401], "claimed lnk_h2v9x4tq7k3m\n"))

    def test_every_exported_name_is_in_the_table(self):
        table = (PACKAGE / "README.md").read_text(encoding="utf-8").split("\n## What it exports\n")[1]
        missing = [name for name in linkme_webhooks.__all__ if not re.search(rf"\b{name}\b", table)]
        self.assertEqual([name for name in missing if not re.fullmatch(r"Link\w+Data", name)], [])

    def test_the_examples_in_the_docstrings_are_true(self):
        # importlib, as the package's name for it is the function.
        signing = importlib.import_module("linkme_webhooks.sign_test_payload")
        # The example of ed25519 verifies, for which the package cryptography is needed.
        for module in (envelope, signature, dedupe, read_event, receiver, signing, ed25519):
            results = doctest.testmod(module)
            self.assertEqual(results.failed, 0, module.__name__)
            self.assertGreater(results.attempted, 0, module.__name__)

    def test_the_licence_is_that_of_the_project(self):
        self.assertEqual((PACKAGE / "LICENSE").read_bytes(), (ROOT / "LICENSE").read_bytes())
