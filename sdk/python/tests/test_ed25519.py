"""The check of asymmetric signatures against the shared vectors, and the choice of keys from a document.

They need the package ``cryptography``, which the extra ``ed25519`` names.
"""

import base64
import sys
import unittest
from unittest import mock

from linkme_webhooks import (
    LinkMeUsageError,
    LinkMeWebhookError,
    select_linkme_webhook_keys,
    verify_linkme_webhook_ed25519,
)

from .support import read_vectors

VECTORS = read_vectors("ed25519")
GOOD = VECTORS[0]
KEY = GOOD["public_keys"][0]
BODY = GOOD["body"].encode()


def headers_of(vector):
    headers = {"Webhook-Id": vector["id"], "Webhook-Timestamp": vector["timestamp"]}
    if vector["header"] is not None:
        headers["Webhook-Signature"] = vector["header"]
    return headers


def verify(vector, body, keys, **options):
    return verify_linkme_webhook_ed25519(body, headers_of(vector), keys, **{"now": int(GOOD["timestamp"]), **options})


class Ed25519Test(unittest.TestCase):
    def test_every_shared_vector_has_its_verdict(self):
        self.assertTrue(any(v["valid"] for v in VECTORS) and any(not v["valid"] for v in VECTORS))
        for vector in VECTORS:
            with self.subTest(vector["name"], why=vector["why"]):
                is_text = vector["body_encoding"] == "utf8"
                text = vector["body"] * vector["body_repeat"]
                body = text.encode() if is_text else base64.b64decode(vector["body"]) * vector["body_repeat"]
                if vector.get("raises"):
                    with self.assertRaises(LinkMeUsageError) as raised:
                        verify(vector, body, vector["public_keys"])
                    self.assertIn(raised.exception.code, ("key_missing", "key_invalid"))
                    continue
                for form in [body, memoryview(body)] + ([text] if is_text else []):
                    self.assertIs(verify(vector, form, vector["public_keys"]), vector["valid"])

    def test_a_time_beyond_the_tolerance_is_refused_in_both_directions(self):
        at = int(GOOD["timestamp"])
        for now, expected in [(at - 301, False), (at - 300, True), (at + 300, True), (at + 301, False)]:
            self.assertIs(verify(GOOD, BODY, KEY, now=now), expected, now - at)
        self.assertIs(verify(GOOD, BODY, KEY, now=at + 5, tolerance_seconds=4), False)
        self.assertIs(verify(GOOD, BODY, KEY, tolerance_seconds=float("nan")), False)
        self.assertIs(verify_linkme_webhook_ed25519(BODY, headers_of(GOOD), KEY), False, "long ago by the clock")

    def test_a_header_that_is_missing_malformed_or_twice_there_is_no_signature(self):
        for name in headers_of(GOOD):
            rest = {other: value for other, value in headers_of(GOOD).items() if other != name}
            bad = [rest, {**rest, name: None}, {**rest, name: ""}, {**headers_of(GOOD), name.upper(): "x"}]
            for headers in bad:
                self.assertIs(verify_linkme_webhook_ed25519(BODY, headers, KEY, now=int(GOOD["timestamp"])), False)

    def test_without_the_package_the_error_says_what_to_install(self):
        with mock.patch.dict(sys.modules, {"cryptography.exceptions": None}):
            with self.assertRaises(LinkMeUsageError) as raised:
                verify(GOOD, BODY, KEY)
        self.assertEqual(raised.exception.code, "cryptography_missing")
        self.assertIn("pip install linkme-webhooks[ed25519]", str(raised.exception))

    def test_a_missing_key_is_refused_and_never_skips_the_check(self):
        for keys in (None, "", [], [KEY, ""], [KEY, None], KEY.encode(), {"key": KEY}, 7):
            with self.subTest(keys=keys):
                with self.assertRaises(LinkMeUsageError) as raised:
                    verify(GOOD, BODY, keys)
                self.assertEqual(raised.exception.code, "key_missing")

    def test_a_parsed_body_is_a_type_error(self):
        with self.assertRaises(TypeError) as raised:
            verify(GOOD, {"id": "1"}, KEY)
        self.assertEqual(raised.exception.code, "raw_body_parsed")

    def test_only_the_keys_of_the_webhook_that_still_sign_are_chosen(self):
        base = {"kty": "OKP", "crv": "Ed25519", "webhook_id": "dst_a", "public_key": KEY, "valid_until": None}
        other = "whpk_" + base64.b64encode(bytes(32)).decode()
        keys = [
            base,
            {**base, "public_key": other, "webhook_id": "dst_b"},
            {**base, "public_key": other, "valid_until": "2026-01-31T09:30:00.000Z"},
            {**base, "public_key": "whsec_AAAA"},
            {**base, "kty": "RSA"},
            "none",
        ]
        at = 1769851800
        self.assertEqual(select_linkme_webhook_keys({"keys": keys}, "dst_a", now=at), [KEY])
        self.assertEqual(select_linkme_webhook_keys({"keys": keys}, "dst_a", now=at - 1), [KEY, other])
        self.assertEqual(select_linkme_webhook_keys({"keys": keys}, "dst_c", now=at), [])
        for document in (None, [], {}, {"keys": {}}, "keys"):
            with self.assertRaises(LinkMeWebhookError) as raised:
                select_linkme_webhook_keys(document, "dst_a")
            self.assertEqual(raised.exception.code, "key_document_invalid")
