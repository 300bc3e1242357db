"""The signature check against the shared vectors, and against the ways in which receivers call it wrongly."""

import base64
import hashlib
import hmac
import unittest

from linkme_webhooks import LinkMeUsageError, verify_linkme_webhook_signature

from .support import read_vectors

SECRET = "whsec_dGVzdA=="
BODY = b'{"id":"1","event":"link.click"}'


def sign(body, secret=SECRET):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


HEADER = sign(BODY)


class SignatureTest(unittest.TestCase):
    def test_every_shared_vector_has_its_verdict(self):
        vectors = read_vectors()
        self.assertTrue(any(v["valid"] for v in vectors) and any(not v["valid"] for v in vectors))
        for vector in vectors:
            with self.subTest(vector["name"], why=vector["why"]):
                text = vector["body"] * vector["body_repeat"]
                is_text = vector["body_encoding"] == "utf8"
                body = text.encode() if is_text else base64.b64decode(vector["body"]) * vector["body_repeat"]
                if vector.get("raises"):
                    with self.assertRaises(LinkMeUsageError) as raised:
                        verify_linkme_webhook_signature(body, vector["header"], vector["secrets"])
                    self.assertEqual(raised.exception.code, "secret_missing")
                    continue
                forms = [body, bytearray(body), memoryview(body)] + ([text] if is_text else [])
                secrets = [vector["secrets"], tuple(vector["secrets"])]
                if len(vector["secrets"]) == 1:
                    secrets.append(vector["secrets"][0])
                for form in forms:
                    for secret in secrets:
                        verdict = verify_linkme_webhook_signature(form, vector["header"], secret)
                        self.assertIs(verdict, vector["valid"])

    def test_what_is_not_a_raw_body_is_a_type_error_that_says_what_to_do(self):
        cases = [
            ("a parsed object", {"id": "1"}, "raw_body_parsed", "raw request body"),
            ("a parsed list", [], "raw_body_parsed", "request.get_data()"),
            ("nothing", None, "raw_body_missing", "raw request body"),
            ("a number", 7, "raw_body_type", "bytes or str"),
            ("a function", len, "raw_body_type", "bytes or str"),
        ]
        for name, body, code, advice in cases:
            for header in (HEADER, "", None):
                with self.subTest(name, header=header):
                    with self.assertRaises(TypeError) as raised:
                        verify_linkme_webhook_signature(body, header, SECRET)
                    self.assertEqual(raised.exception.code, code)
                    self.assertIn(advice, str(raised.exception))
                    self.assertNotIn(SECRET, str(raised.exception))

    def test_a_header_that_is_not_a_string_is_no_signature(self):
        for header in (None, [HEADER], [HEADER, HEADER], HEADER.encode(), 256, {"sha256": HEADER}):
            with self.subTest(header=header):
                self.assertIs(verify_linkme_webhook_signature(BODY, header, SECRET), False)

    def test_a_missing_secret_is_refused_and_never_skips_the_check(self):
        cases = [None, "", [], (), [SECRET, ""], [SECRET, None], [[SECRET]], SECRET.encode(), {"secret": SECRET}, 7]
        for secret in cases:
            for header in (HEADER, None):
                with self.subTest(secret=secret, header=header):
                    with self.assertRaises(LinkMeUsageError) as raised:
                        verify_linkme_webhook_signature(BODY, header, secret)
                    self.assertEqual(raised.exception.code, "secret_missing")

    def test_no_single_changed_digit_of_a_good_signature_is_accepted(self):
        for index in range(len("sha256="), len(HEADER)):
            digit = "1" if HEADER[index] == "0" else "0"
            changed = HEADER[:index] + digit + HEADER[index + 1 :]
            self.assertIs(verify_linkme_webhook_signature(BODY, changed, SECRET), False)

    def test_text_without_a_utf8_form_is_not_signed_rather_than_an_exception(self):
        self.assertIs(verify_linkme_webhook_signature("\ud800", HEADER, SECRET), False)
        self.assertIs(verify_linkme_webhook_signature(BODY, HEADER, "\ud800"), False)

    def test_a_body_that_is_not_utf8_no_longer_verifies_once_it_has_been_decoded(self):
        body = b"{\xff}"
        self.assertIs(verify_linkme_webhook_signature(body, sign(body), SECRET), True)
        decoded = body.decode("utf-8", "replace")
        self.assertIs(verify_linkme_webhook_signature(decoded, sign(body), SECRET), False)
