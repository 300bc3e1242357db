import assert from "node:assert/strict";
import { test } from "node:test";
import { createAddressRule, parseCidrs, readTarget } from "./addresses.ts";

const DENIED: readonly (readonly [string, string])[] = [
  ["0.0.0.0", "this host"],
  ["0.255.255.255", "end of 0/8"],
  ["10.0.0.0", "private"],
  ["10.255.255.255", "end of 10/8"],
  ["100.64.0.0", "carrier"],
  ["100.100.100.200", "cloud metadata in carrier space"],
  ["100.127.255.255", "end of 100.64/10"],
  ["127.0.0.1", "loopback"],
  ["127.255.255.255", "end of 127/8"],
  ["168.63.129.16", "cloud metadata in public space"],
  ["169.254.0.0", "link-local"],
  ["169.254.169.254", "cloud metadata"],
  ["172.16.0.0", "private"],
  ["172.31.255.255", "end of 172.16/12"],
  ["192.0.0.1", "protocol assignments"],
  ["192.0.2.1", "documentation"],
  ["192.31.196.1", "AS112"],
  ["192.52.193.1", "AMT"],
  ["192.88.99.1", "6to4 relay"],
  ["192.168.0.1", "private"],
  ["192.168.255.255", "end of 192.168/16"],
  ["192.175.48.1", "AS112"],
  ["198.18.0.0", "benchmarking"],
  ["198.19.255.255", "end of 198.18/15"],
  ["198.51.100.1", "documentation"],
  ["203.0.113.1", "documentation"],
  ["224.0.0.1", "multicast"],
  ["239.255.255.255", "end of 224/4"],
  ["240.0.0.1", "reserved"],
  ["255.255.255.255", "broadcast"],
  ["::", "this host"],
  ["::1", "loopback"],
  ["::7f00:1", "IPv4-compatible loopback"],
  ["::808:808", "IPv4-compatible, deprecated"],
  ["::ffff:127.0.0.1", "mapped loopback"],
  ["::ffff:7f00:1", "mapped loopback in hexadecimal"],
  ["0:0:0:0:0:FFFF:0A00:0001", "mapped private, written out"],
  ["::ffff:169.254.169.254", "mapped metadata"],
  ["::ffff:0:7f00:1", "translated IPv4"],
  ["64:ff9b::7f00:1", "NAT64 of loopback"],
  ["64:ff9b::808:808", "NAT64 of a public address"],
  ["64:ff9b:1::1", "local NAT64"],
  ["100::1", "discard"],
  ["2001::1", "Teredo"],
  ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo client"],
  ["2001:1ff:ffff::1", "end of 2001::/23"],
  ["2001:db8::1", "documentation"],
  ["2002:7f00:1::1", "6to4 of loopback"],
  ["2002:808:808::1", "6to4 of a public address"],
  ["2620:4f:8000::1", "AS112"],
  ["3fff::1", "documentation"],
  ["4000::1", "outside global unicast"],
  ["5f00::1", "segment routing"],
  ["fc00::1", "unique local"],
  ["fd00:ec2::254", "cloud metadata, unique local"],
  ["fe80::1", "link-local"],
  ["febf::1", "end of fe80::/10"],
  ["fec0::1", "site-local"],
  ["ff02::1", "multicast"],
  ["fe80::1%eth0", "zone id"],
  ["2606:4700::1111%eth0", "zone id on a public address"],
  ["", "no address"],
  ["example.com", "a name"],
  ["8.8.8", "half an address"],
  ["08.8.8.8", "leading zero"],
  ["8.8.8.8.8", "five parts"],
];

const PERMITTED = [
  "1.0.0.1",
  "8.8.8.8",
  "9.255.255.255",
  "11.0.0.0",
  "100.63.255.255",
  "100.128.0.0",
  "126.255.255.255",
  "128.0.0.0",
  "168.63.129.17",
  "169.253.255.255",
  "172.15.255.255",
  "172.32.0.0",
  "192.0.1.0",
  "192.167.255.255",
  "192.169.0.0",
  "198.17.255.255",
  "198.20.0.0",
  "223.255.255.255",
  "::ffff:8.8.8.8",
  "::ffff:808:808",
  "2001:200::1",
  "2001:4860:4860::8888",
  "2003::1",
  "2606:4700:4700::1111",
  "2a00:1450::1",
  "3ffe::1",
];

for (const [address, why] of DENIED) {
  test(`No connection is made to "${address}" (${why})`, () => {
    assert.notEqual(createAddressRule([])(address, true), null);
  });
}

for (const address of PERMITTED) {
  test(`${address} is public: permitted over https, refused over plain http`, () => {
    const refuse = createAddressRule([]);
    assert.equal(refuse(address, true), null);
    assert.match(
      refuse(address, false) ?? "",
      /over plain http, which is for the networks of LINKME_EGRESS_ALLOW only/,
    );
  });
}

const LISTED: readonly (readonly [allow: string[], address: string, permitted: boolean])[] = [
  [["127.0.0.0/8"], "127.0.0.1", true],
  [["127.0.0.0/8"], "::ffff:127.0.0.1", true],
  [["127.0.0.0/8"], "::ffff:7f00:1", true],
  [["127.0.0.0/8"], "::1", false],
  [["127.0.0.0/8"], "64:ff9b::7f00:1", false],
  [["10.1.0.0/16"], "10.1.255.255", true],
  [["10.1.0.0/16"], "10.2.0.0", false],
  [["10.1.2.3"], "10.1.2.3", true],
  [["10.1.2.3"], "10.1.2.4", false],
  [["0.0.0.0/0"], "192.168.1.1", true],
  [["0.0.0.0/0"], "fd00::1", false],
  [["::/0"], "fd00::1", true],
  [["::/0"], "10.0.0.1", false],
  [["::/0"], "::ffff:10.0.0.1", false],
  [["fd00::/8"], "fd12:3456::1", true],
  [["fd00::/8"], "fc00::1", false],
  [["::1"], "::1", true],
  [["fe80::/10"], "fe80::1%eth0", false],
  [["10.0.0.0/8", "fd00::/8"], "fd00::1", true],
];

for (const [allow, address, permitted] of LISTED) {
  test(`With ${allow.join(", ")} listed, ${address} is ${permitted ? "permitted, also over http" : "refused"}`, () => {
    const refuse = createAddressRule(allow);
    assert.equal(refuse(address, false) === null, permitted);
    assert.equal(refuse(address, true) === null, permitted);
  });
}

test("A refusal names the address and its kind, in the plain form when it was mapped", () => {
  const refuse = createAddressRule([]);
  assert.match(
    refuse("::ffff:a00:1", true) ?? "",
    /^10\.0\.0\.1, a private address outside the networks of LINKME_EGRESS_ALLOW /,
  );
  assert.equal(refuse("4000::1", true), "4000::1, which is not a public address");
});

const ALLOWING: readonly (readonly [address: string, host: string, allow: string[], value: string | null])[] = [
  ["127.0.0.1", "127.0.0.1", [], "127.0.0.0/8"],
  ["127.9.9.9", "hook.test", [], "127.0.0.0/8"],
  ["::1", "::1", [], "::1"],
  ["::1", "::1", ["127.0.0.0/8"], "…,::1"],
  ["127.0.0.1", "localhost", [], "127.0.0.0/8,::1"],
  ["::1", "localhost", ["127.0.0.0/8"], "…,::1"],
  ["10.0.0.5", "10.0.0.5", [], "10.0.0.5"],
  ["::ffff:10.0.0.5", "hook.test", ["127.0.0.0/8", "::1"], "…,10.0.0.5"],
  ["100.64.0.1", "hook.test", [], "100.64.0.1"],
  ["fd00::5", "hook.test", ["10.0.0.0/8"], "…,fd00::5"],
  ["169.254.169.254", "169.254.169.254", [], null],
  ["168.63.129.16", "hook.test", [], null],
  ["100.100.100.200", "hook.test", [], null],
  ["fd00:ec2::254", "fd00:ec2::254", [], null],
  ["fd20:ce::254", "hook.test", [], null],
  ["224.0.0.1", "hook.test", [], null],
];

for (const [address, host, allow, value] of ALLOWING) {
  const listed = allow.length === 0 ? "nothing" : allow.join(", ");
  test(`With ${listed} listed, ${host} at ${address} is refused with ${value ?? "no way to allow it"}, which is true`, () => {
    const refusal = createAddressRule(allow)(address, false, host) ?? "";
    assert.equal(/LINKME_EGRESS_ALLOW=([^,)\s]+(?:,[^,)\s]+)*)/.exec(refusal)?.[1] ?? null, value, refusal);
    if (value === null) return;
    const read = parseCidrs(value.replace("…", allow.join()));
    assert.ok("cidrs" in read);
    assert.equal(createAddressRule(read.cidrs)(address, false, host), null);
  });
}

const CIDR_LISTS: readonly (readonly [string, string[]])[] = [
  ["", []],
  [" , ", []],
  ["10.0.0.0/8", ["10.0.0.0/8"]],
  [" 10.0.0.0/8 , fd00::/8,::1 ", ["10.0.0.0/8", "fd00::/8", "::1"]],
  ["0.0.0.0/0,::/0", ["0.0.0.0/0", "::/0"]],
];

for (const [text, cidrs] of CIDR_LISTS) {
  test(`"${text}" reads as ${cidrs.length} networks`, () => {
    assert.deepEqual(parseCidrs(text), { cidrs });
  });
}

for (const bad of [
  "10.0.0.0/33",
  "10.0.0.0/",
  "10.0.0.0/-1",
  "10.0.0.0/8/8",
  "10.0.0/8",
  "10.0.0.0/1e1",
  "fd00::/129",
  "fe80::%eth0/10",
  "::ffff:10.0.0.0/104",
  "localhost",
  "*",
]) {
  test(`"${bad}" is no network, and the sentence says so`, () => {
    const read = parseCidrs(`10.0.0.0/8, ${bad}`);
    assert.deepEqual(read, { error: `"${bad}" is not a network; write CIDRs such as 10.0.0.0/8 or fd00::/8` });
  });
}

const HOST_FORMS: readonly (readonly [string, string])[] = [
  ["https://2130706433/", "127.0.0.1"],
  ["https://0x7f000001/", "127.0.0.1"],
  ["https://0x7f.1/", "127.0.0.1"],
  ["https://0177.0.0.1/", "127.0.0.1"],
  ["https://017700000001/", "127.0.0.1"],
  ["https://127.1/", "127.0.0.1"],
  ["https://127.0.0.1./", "127.0.0.1"],
  ["https://１２７.0.0.1/", "127.0.0.1"],
  ["https://127。0。0。1/", "127.0.0.1"],
  ["https://%31%32%37.0.0.1/", "127.0.0.1"],
  ["https://0/", "0.0.0.0"],
  ["https://[::1]/", "::1"],
  ["https://[::ffff:127.0.0.1]/", "::ffff:7f00:1"],
  ["https://[0:0::1]:8443/", "::1"],
];

for (const [url, literal] of HOST_FORMS) {
  test(`The host of ${url} is the address ${literal}`, () => {
    const target = readTarget(url);
    assert.ok(!("error" in target));
    assert.equal(target.literal, literal);
  });
}

test("A target is read into what a connection needs", () => {
  assert.deepEqual(readTarget("HTTPS://Hooks.Example.COM.:8443/a/b?token=x"), {
    origin: "https://hooks.example.com.:8443",
    secure: true,
    host: "hooks.example.com",
    port: 8443,
    path: "/a/b?token=x",
    literal: null,
  });
});

const BAD_URLS: readonly (readonly [string, RegExp])[] = [
  ["", /cannot be read/],
  ["example.com/hook", /cannot be read/],
  ["https://", /cannot be read/],
  ["https://exa mple.com", /spaces or control characters/],
  [" https://example.com", /spaces or control characters/],
  ["https://example.com/\n", /spaces or control characters/],
  ["https://example.com/\0", /spaces or control characters/],
  ["https://example.com:0/", /Port 0/],
  ["https://user@example.com/", /user name or password/],
  ["https://user:pass@example.com/", /user name or password/],
  ["https://127.0.0.1@example.com/", /user name or password/],
  ["https://example.com/#part", /after # is never sent/],
  ["https://example.com/#", /after # is never sent/],
  ["ftp://example.com/", /ftp:\/\/ URLs are not accepted/],
  ["file:///etc/passwd", /file:\/\/ URLs are not accepted/],
  ["javascript:alert(1)", /are not accepted/],
  ["blob:https://example.com/x", /are not accepted/],
  ["https://[fe80::1%25eth0]/", /cannot be read/],
  ["https://256.1.1.1/", /cannot be read/],
  ["https://example.com:65536/", /cannot be read/],
  [`https://example.com/${"a".repeat(2048)}`, /longer than 2048 characters/],
];

for (const [url, reason] of BAD_URLS) {
  test(`${JSON.stringify(url.slice(0, 40))} is refused with a reason and what is accepted`, () => {
    const target = readTarget(url);
    assert.ok("error" in target);
    assert.match(target.error, reason);
    assert.match(target.error, /Use a public https URL, such as https:\/\/example\.com\/webhooks\.$/);
  });
}
