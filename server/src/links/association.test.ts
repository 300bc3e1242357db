import assert from "node:assert/strict";
import { test } from "node:test";
import { APP } from "../../test/support/links.ts";
import { androidFile, appleFile } from "./association.ts";

const IOS = { ios_bundle_id: "com.shop", ios_team_id: "ABCDE12345" };
const PRINT = Array.from({ length: 32 }, () => "AB").join(":");

test("iOS is told which app opens which addresses, in the new form and in the old one", () => {
  const file = appleFile([{ ...APP, ...IOS }]);
  const [details, ...others] = file?.applinks.details ?? [];
  assert.equal(others.length, 0);
  assert.deepEqual([details?.appIDs, details?.appID], [["ABCDE12345.com.shop"], "ABCDE12345.com.shop"]);
  assert.deepEqual(details?.components.at(-1), { "/": "*" });
  assert.deepEqual(details?.paths.at(-1), "*");
  for (const path of ["/api/*", "/d/*", "/qr/*", "/*+"]) {
    assert.ok(details?.paths.includes(`NOT ${path}`), path);
    assert.ok(
      details?.components.some((component) => component["/"] === path && "exclude" in component),
      path,
    );
  }
});

test("Android is told the package and its certificates", () => {
  assert.deepEqual(androidFile([{ ...APP, android_package: "com.shop", android_sha256: [PRINT, PRINT] }]), [
    {
      relation: ["delegate_permission/common.handle_all_urls"],
      target: { namespace: "android_app", package_name: "com.shop", sha256_cert_fingerprints: [PRINT, PRINT] },
    },
  ]);
});

test("apps that lack a setting are left out, and without any there is no file", () => {
  assert.equal(appleFile([APP, { ...APP, ...IOS, ios_team_id: null }, { ...APP, ...IOS, ios_bundle_id: null }]), null);
  assert.equal(androidFile([APP, { ...APP, android_package: "a.b" }, { ...APP, android_sha256: [PRINT] }]), null);
  const several = appleFile([APP, { ...APP, ...IOS }, { ...APP, ...IOS, ios_bundle_id: "com.other" }]);
  assert.deepEqual(
    several?.applinks.details.map(({ appID }) => appID),
    ["ABCDE12345.com.shop", "ABCDE12345.com.other"],
  );
});
