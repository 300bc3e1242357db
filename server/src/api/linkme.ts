// LinkMe's own endpoints that its SDKs call in apps and pages. Called by compose-edge.ts; links are in links.ts.
// Untrusted device descriptions are read leniently; a caller's app is found in the order that LinkMe's SDKs rely on.
import type { FastifyRequest } from "fastify";
import type { App } from "#contract/apps.ts";
import type { Accounts } from "../accounts/accounts.ts";
import { AppEventBody } from "../claims/app-event.ts";
import type { AppEvents } from "../claims/app-events.ts";
import type { Asking, Claims } from "../claims/claims.ts";
import { type Device, readDevice, readDeviceHeader } from "../claims/device.ts";
import { demandEventKey, demandKey, identifySdk } from "./access.ts";
import type { Handlers } from "./bind.ts";
import { refuseIssues } from "./issues.ts";

type SdkNames = "resolveToken" | "resolveUrl" | "claimDeferred" | "claimInstallReferrer" | "recordAppEvent";

export interface SdkDeps {
  accounts: Accounts;
  claims: Claims;
  app_events: Pick<AppEvents, "record" | "recordOpening">;
}

/** For processes with the role `edge`. */
export function sdkHandlers({ accounts, claims, app_events }: SdkDeps): Handlers<SdkNames> {
  /**
   * The app that the headers name, else the one that `find` tells.
   * @throws AppError when the app is not known, or demands a key that was not sent
   */
  async function appOf(request: FastifyRequest, find: () => Promise<App>): Promise<App> {
    const caller = await identifySdk(accounts, request.headers);
    const app = caller.app ?? (await find());
    demandKey(app, caller);
    return app;
  }

  return {
    async resolveToken({ query, request }) {
      const device = readDeviceHeader(request.headers["x-linkme-device"]);
      const app = await appOf(request, () => claims.findTokenApp(query.cid));
      return claims.claimToken(app, query.cid, asking(request, device));
    },
    async resolveUrl({ body, request }) {
      const caller = await identifySdk(accounts, request.headers);
      const { app, payload } = await claims.resolveUrl(caller.app, body.url, (owner) => demandKey(owner, caller));
      if (app !== null) await app_events.recordOpening(app, payload, asking(request, readDevice(body.device)));
      return payload;
    },
    async claimDeferred({ body, request }) {
      const device = readDevice(body.device);
      const bundle_id = body.bundleId || device.bundle_id;
      const app = await appOf(request, () => claims.findCallerApp(bundle_id, request.host));
      return claims.claimDeferred(app, bundle_id, { ...asking(request, device), platform: body.platform });
    },
    async claimInstallReferrer({ body, request }) {
      const device = readDeviceHeader(request.headers["x-linkme-device"]);
      const app = await appOf(request, () => claims.findReferrerApp(body.referrer, request.host));
      return claims.claimReferrer(app, body.referrer, asking(request, device));
    },
    async recordAppEvent({ body, request }) {
      const parsed = AppEventBody.safeParse(body);
      if (!parsed.success) throw refuseIssues(parsed.error.issues, { schema: AppEventBody, part: "body" });
      const device = readDevice(parsed.data.device);
      const bundle_id = parsed.data.bundleId || device.bundle_id;
      const find = async () =>
        (await claims.findEventApp(parsed.data)) ?? (await claims.findCallerApp(bundle_id, request.host));
      const caller = await identifySdk(accounts, request.headers, ["can_read", "can_write"]);
      const app = caller.app ?? (await find());
      demandEventKey(app, caller);
      await app_events.record(app, parsed.data, asking(request, device));
    },
  };
}

function asking(request: FastifyRequest, device: Device): Asking {
  return { ip: request.ip, user_agent: request.headers["user-agent"] ?? "", device };
}

/** For processes with the role `api`. */
export function appEventHandlers(app_events: Pick<AppEvents, "list">): Handlers<"listAppEvents"> {
  return { listAppEvents: ({ params, query }) => app_events.list(params.app_id, query) };
}
