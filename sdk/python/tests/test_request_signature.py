"""What a receiver believes, against the shared vectors and against what strangers and gateways send."""

import time
import unittest
from datetime import datetime, timezone
from unittest import mock

from linkme_webhooks import LinkMeUsageError, Receiver, sign_test_payload, verify_linkme_webhook_signature
from linkme_webhooks import request_signature

from .support import CLICK, NOW, OTHER, SECRET, body_of, read_vectors

JSON = {"content-type": "application/json"}
STANDARD = ("webhook-id", "webhook-timestamp", "webhook-signature")


def judge(body, headers, secrets=SECRET, **options):
    """The code of the refusal, or ``believed``, whatever became of the envelope then."""
    receiver = Receiver(**{"secrets": secrets, "now": lambda: NOW, **options})
    receiver.on_error(lambda error, event: None)
    received = receiver.receive("POST", headers, body)
    outcome = received.outcome
    if outcome.kind != "refused" or outcome.code == "envelope_invalid":
        return "believed"
    assert received.status == 401, received
    return outcome.code


def signed(payload=CLICK, secret=SECRET, at=NOW):
    request = sign_test_payload(payload, secret, at=at)
    return request.body, request.headers


class RequestSignatureTest(unittest.TestCase):
    def test_every_shared_vector_of_linkme_has_its_verdict(self):
        for vector in read_vectors():
            with self.subTest(vector["name"], why=vector["why"]):
                if vector.get("raises"):
                    with self.assertRaises(LinkMeUsageError) as raised:
                        Receiver(secrets=vector["secrets"])
                    self.assertEqual(raised.exception.code, "secret_missing")
                    continue
                header = {} if vector["header"] is None else {"X-LinkMe-Signature": vector["header"]}
                answer = judge(body_of(vector), {**JSON, **header}, vector["secrets"])
                self.assertEqual(answer == "believed", vector["valid"], answer)

    def test_every_shared_vector_of_standard_webhooks_has_its_verdict(self):
        for vector in read_vectors("standard_webhooks"):
            with self.subTest(vector["name"], why=vector["why"]):
                _, headers = signed(body_of(vector), vector["secrets"][0])
                standard = {"webhook-id": vector["id"], "webhook-timestamp": vector["timestamp"]}
                if vector["header"] is not None:
                    standard["webhook-signature"] = vector["header"]
                linkme = {"x-linkme-signature": headers["x-linkme-signature"]}
                answer = judge(body_of(vector), {**JSON, **linkme, **standard}, vector["secrets"])
                self.assertEqual(answer == "believed", vector["valid"], answer)

    def test_the_time_of_a_delivery_may_be_five_minutes_from_now_in_both_directions(self):
        cases = [(-301, False), (-300, True), (300, True), (301, False)]
        for seconds, is_believed in cases:
            expected = "believed" if is_believed else "timestamp_outside"
            self.assertEqual(judge(*signed(at=NOW + seconds)), expected, seconds)
        for seconds in (5, -5):
            self.assertEqual(judge(*signed(at=NOW + seconds), tolerance_seconds=4), "timestamp_outside")

    def test_the_time_of_the_event_does_not_matter(self):
        self.assertEqual(judge(*signed({**CLICK, "ts": "2020-01-01T00:00:00.000Z"})), "believed")

    def test_headers_of_standard_webhooks_are_all_there_and_right_or_none_of_them_is_there(self):
        body, headers = signed()
        rest = {name: value for name, value in headers.items() if name not in STANDARD}
        self.assertEqual(judge(body, rest), "believed", "LinkMe's own servers send none")
        for name in STANDARD:
            without = {other: value for other, value in headers.items() if other != name}
            self.assertEqual(judge(body, without), "signature_malformed", name)
            self.assertNotEqual(judge(body, {**headers, name: headers[name] + "1"}), "believed", name)
        for timestamp in ("", "-1", "1e3", f"{NOW}.5", "NaN", "9" * 13, f"{NOW}\n", "１２３"):
            self.assertEqual(judge(body, {**headers, "webhook-timestamp": timestamp}), "timestamp_malformed", timestamp)

    def test_one_wrong_signature_is_enough_to_refuse_whichever_of_the_two_it_is(self):
        body, headers = signed()
        _, other = signed(secret=OTHER)
        for name in ("x-linkme-signature", "webhook-signature"):
            self.assertEqual(judge(body, {**headers, name: other[name]}), "signature_mismatch", name)
        self.assertEqual(judge(body + b" ", headers), "signature_mismatch")

    def test_during_a_rotation_the_old_secret_the_new_one_and_both_are_enough(self):
        body, headers = signed(secret=OTHER)
        _, before = signed()
        headers = {
            **headers,
            "x-linkme-signature-previous": before["x-linkme-signature"],
            "webhook-signature": f"v1a,{'A' * 86}== {headers['webhook-signature']} {before['webhook-signature']}",
        }
        for secrets in (SECRET, OTHER, [SECRET, OTHER], (OTHER, "whsec_eA==")):
            self.assertEqual(judge(body, headers, secrets), "believed", secrets)
        self.assertEqual(judge(body, headers, "whsec_eA=="), "signature_mismatch")

    def test_a_header_that_is_there_twice_in_whatever_form_is_no_signature(self):
        body, headers = signed()
        signature = headers["x-linkme-signature"]
        twice = [
            {**headers, "x-linkme-signature": [signature, signature]},
            {**headers, "x-linkme-signature": f"{signature}, {signature}"},
            {**headers, "X-LinkMe-Signature": signature},
            [*headers.items(), ("X-LinkMe-Signature", signature)],
        ]
        for given in twice:
            self.assertEqual(judge(body, given), "signature_malformed")

    def test_names_of_headers_are_read_in_any_case_and_pairs_are_headers(self):
        body, headers = signed()
        upper = {name.upper(): value for name, value in headers.items()}
        for given in (upper, list(upper.items()), upper.items(), {**upper, "x-linkme-signature-previous": None}):
            self.assertEqual(judge(body, given), "believed")

    def test_a_secret_that_is_no_base64_is_verified_by_one_header_alone_and_an_empty_key_never(self):
        body, headers = signed(secret="🔑")
        self.assertNotIn("webhook-signature", headers)
        standard = {"webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,x"}
        self.assertEqual(judge(body, {**headers, **standard}, "🔑"), "believed")
        self.assertEqual(judge(body, {**JSON, **standard}, "🔑"), "signature_missing")

    def test_every_secret_is_compared_with_every_signature_also_after_one_has_fitted(self):
        body, headers = signed()
        with mock.patch.object(request_signature.hmac, "compare_digest", wraps=request_signature.hmac.compare_digest) as compare:
            self.assertEqual(judge(body, headers, [SECRET, OTHER, "whsec_eA=="]), "believed")
        self.assertEqual(compare.call_count, 6, "three secrets, in two forms")

    def test_what_sign_test_payload_signs_is_what_the_other_verifier_accepts(self):
        body, headers = signed()
        self.assertIs(verify_linkme_webhook_signature(body, headers["x-linkme-signature"], SECRET), True)
        for payload, expected in (("[]", b"[]"), (b"\xff", b"\xff"), ({"note": "👟"}, '{"note":"👟"}'.encode())):
            request = sign_test_payload(payload, SECRET, at=datetime.fromtimestamp(NOW, timezone.utc))
            self.assertEqual((request.body, request.headers["webhook-id"]), (expected, "msg_test"))
            self.assertEqual(request.headers["webhook-timestamp"], str(NOW))
        self.assertEqual(judge(*signed(at=None), now=time.time), "believed")
        for secret in ("", None, [SECRET]):
            with self.assertRaises(LinkMeUsageError):
                sign_test_payload({}, secret)


class SecretsTest(unittest.TestCase):
    def test_what_is_no_secret_is_refused_at_the_start_and_from_a_function_with_each_request(self):
        for secrets in (None, "", " ", [], [SECRET, ""], [SECRET, None], [[SECRET]], {"a": 1}, SECRET.encode(), ["x"] * 17):
            with self.subTest(secrets=secrets):
                with self.assertRaises(LinkMeUsageError) as raised:
                    Receiver(secrets=secrets)
                self.assertEqual(raised.exception.code, "secret_missing")
                told = []
                receiver = Receiver(secrets=lambda: secrets)
                receiver.on_error(lambda error, event: told.append(error.code))
                body, headers = signed()
                received = receiver.receive("POST", headers, body)
                self.assertEqual((received.status, received.outcome.kind), (500, "misconfigured"))
                self.assertEqual(told, ["secret_missing"])

    def test_a_missing_secret_says_how_one_is_given(self):
        with self.assertRaisesRegex(LinkMeUsageError, "signing_secret of the webhook.*environment.*secrets=lambda:"):
            Receiver(secrets="")

    def test_a_secret_with_a_line_break_is_told_of_when_nothing_fits_and_is_not_mended_silently(self):
        for secret, words in ((f"{SECRET}\n", "ends with a line break"), (f" {SECRET}", "white space around it")):
            told = []
            receiver = Receiver(secrets=secret, now=lambda: NOW)
            receiver.on_error(lambda error, event: told.append(error))
            body, headers = signed()
            received = receiver.receive("POST", headers, body)
            self.assertEqual((received.status, [error.code for error in told]), (401, ["secret_whitespace"]))
            self.assertRegex(str(told[0]), words)
            self.assertNotIn(SECRET, str(told[0]) + received.body.decode())

    def test_secrets_of_a_function_are_asked_for_with_each_request_and_its_failure_is_answered_503(self):
        stored = []
        receiver = Receiver(secrets=lambda: stored[0], now=lambda: NOW)
        receiver.on_error(lambda error, event: None)
        body, headers = signed()
        statuses = []
        for now_stored in ([], [OTHER], [SECRET]):
            stored[:] = now_stored
            statuses.append(receiver.receive("POST", headers, body).status)
        self.assertEqual(statuses, [503, 401, 200])
