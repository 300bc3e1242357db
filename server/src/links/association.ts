// The files by which iOS and Android learn that an app may open a host's links, from the settings of the host's apps.
// Pure; called by api/association.ts. Formats: Apple, "Supporting associated domains"; Google, "Digital Asset Links".
import type { App } from "#contract/apps.ts";

type AppleApp = Pick<App, "ios_bundle_id" | "ios_team_id">;
type AndroidApp = Pick<App, "android_package" | "android_sha256">;

/** Addresses that stay in the browser: the server's own, and the pages about a link. */
const KEPT_OUT = [
  "/api/*",
  "/d/*",
  "/qr/*",
  "/docs",
  "/docs/*",
  "/portal",
  "/portal/*",
  "/mcp",
  "/mcp/*",
  "/*+",
] as const;

/** Null when no app has both a bundle id and a Team ID. */
export function appleFile(apps: readonly AppleApp[]) {
  const ids = apps.flatMap(({ ios_bundle_id, ios_team_id }) =>
    ios_bundle_id && ios_team_id ? [`${ios_team_id}.${ios_bundle_id}`] : [],
  );
  if (ids.length === 0) return null;
  const components = [...KEPT_OUT.map((path) => ({ "/": path, exclude: true })), { "/": "*" }];
  // Before iOS 13 appID and paths are read.
  const paths = [...KEPT_OUT.map((path) => `NOT ${path}`), "*"];
  const details = ids.map((id) => ({ appIDs: [id], components, appID: id, paths }));
  return { applinks: { apps: [], details } };
}

/** Null when no app has both a package and the fingerprint of a certificate. */
export function androidFile(apps: readonly AndroidApp[]) {
  const statements = apps.flatMap(({ android_package, android_sha256 }) =>
    android_package && android_sha256.length > 0
      ? [
          {
            relation: ["delegate_permission/common.handle_all_urls"],
            target: {
              namespace: "android_app",
              package_name: android_package,
              sha256_cert_fingerprints: android_sha256,
            },
          },
        ]
      : [],
  );
  return statements.length === 0 ? null : statements;
}
