import assert from "node:assert/strict";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { type MailServerOptions, startMailServer } from "../../test/support/mail-server.ts";
import { trusted_pair, untrusted_pair } from "../../test/support/tls-keys.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { createMailer, type MailerOptions, type SmtpServer } from "./smtp.ts";

const MAIL = { subject: "[LinkMe] Zürich", text: "One line.\n.\nAnother: é☃.\n" };
const LOGIN = { user: "linkme", password: "pass word+é" };
setDefaultCACertificates([...getCACertificates("default"), trusted_pair.cert]);

async function open(t: TestContext, server: MailServerOptions, settings: Partial<SmtpServer & MailerOptions> = {}) {
  const mails = await startMailServer(server);
  const { host = "127.0.0.1", port = mails.port, secure = false, login = null, ...rest } = settings;
  const addresses = { from: "linkme@example.com", to: ["ops@example.com", "on-call@example.com"] };
  const mailer = createMailer({ server: { host, port, secure, login }, ...addresses, ...rest });
  t.after(async () => {
    mailer.close();
    await mails.close();
  });
  return { mails, mailer };
}

test("a mail reaches every recipient, with its subject and its text as they are", async (t) => {
  const { mails, mailer } = await open(t, {});
  assert.equal(await mailer.send(MAIL), null);
  const [mail] = mails.received;
  assert.deepEqual([mail?.from, mail?.to], ["linkme@example.com", ["ops@example.com", "on-call@example.com"]]);
  assert.equal(mail?.text.replaceAll("\r\n", "\n").trim(), MAIL.text.trim());
  assert.match(mail?.source ?? "", /^Subject: =\?UTF-8\?/im);
});

test("a password goes over STARTTLS to another machine, and in the clear to this one alone", async (t) => {
  const over_tls = await open(t, { login: LOGIN, tls: trusted_pair }, { login: LOGIN });
  assert.equal(await over_tls.mailer.send(MAIL), null);
  const [mail] = over_tls.mails.received;
  assert.deepEqual([mail?.is_secure, mail?.user], [true, "linkme"]);

  const local = await open(t, { login: LOGIN }, { login: LOGIN });
  assert.equal(await local.mailer.send(MAIL), null);
  assert.equal(local.mails.received[0]?.is_secure, false);

  // 0.0.0.0 leads to this machine too, and does not look like it.
  const elsewhere = await open(t, { login: LOGIN }, { login: LOGIN, host: "0.0.0.0" });
  assert.match((await elsewhere.mailer.send(MAIL)) ?? "", /STARTTLS/i);
  assert.equal(elsewhere.mails.received.length, 0);
});

test("a certificate that nobody vouches for ends it", async (t) => {
  const { mails, mailer } = await open(t, { tls: untrusted_pair });
  assert.match((await mailer.send(MAIL)) ?? "", /certificate/);
  assert.equal(mails.received.length, 0);
});

test("what a mail server refuses is an answer, without the password that it repeats", async (t) => {
  const wrong = { user: "linkme", password: "wrong-secret" };
  const { mailer } = await open(t, { login: LOGIN }, { login: wrong });
  const refusal = (await mailer.send(MAIL)) ?? "";
  assert.match(refusal, /535 no such login/);
  assert.ok(!refusal.includes("wrong-secret"), refusal);

  const picky = await open(t, { refuse: (address) => (address.startsWith("ops") ? "550 gone" : null) });
  assert.match((await picky.mailer.send(MAIL)) ?? "", /refused 1 of 2 addresses/);
  const deaf = await open(t, { refuse: () => "550 nobody here" });
  assert.match((await deaf.mailer.send(MAIL)) ?? "", /550/);
});

test("nobody at the address, or somebody who speaks no SMTP, is an answer too", async (t) => {
  const { mails, mailer } = await open(t, {});
  await mails.close();
  assert.match((await mailer.send(MAIL)) ?? "", /ECONNREFUSED/);
  const web = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  t.after(() => void web.close());
  const address = web.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const other = await open(t, {}, { port });
  assert.notEqual(await other.mailer.send(MAIL), null);
});

test("a server that hangs costs the time of one mail, for those behind it too, and the connection is gone", async (t) => {
  const { mails, mailer } = await open(t, { hangs: true }, { timeout_ms: 300 });
  const answers = await Promise.all([mailer.send(MAIL), mailer.send(MAIL), mailer.send(MAIL)]);
  for (const answer of answers) assert.equal(answer, "The mail server took longer than 0.3 s");
  await waitUntil(() => mails.connections() === 0, "the connections to be closed");
});

test("mails go one at a time, and more than a few do not wait", async (t) => {
  const { mails, mailer } = await open(t, {});
  const answers = await Promise.all(Array.from({ length: 25 }, () => mailer.send(MAIL)));
  assert.equal(answers.filter((answer) => answer === null).length, 20);
  assert.equal(answers.filter((answer) => answer === "20 mails wait for the mail server already").length, 5);
  assert.equal(mails.received.length, 20);
  assert.equal(mails.mostAtOnce(), 1);
});

test("a stop ends what is under way at once, and nothing is sent after it", async (t) => {
  const { mails, mailer } = await open(t, { hangs: true });
  const sending = mailer.send(MAIL);
  await waitUntil(() => mails.connections() > 0, "the mail to be under way");
  mailer.close();
  assert.equal(await sending, "This server is stopping");
  assert.equal(await mailer.send(MAIL), "This server is stopping");
});
