// LinkMe's own endpoints that its SDKs call in apps and pages. Called by compose-edge.ts; links are in links.ts.
// Untrusted device descriptions are read leniently; a caller's app is found in the order that LinkMe's SDKs rely on.
import type { FastifyRequest } from "fastify";
import type { App } from "#contract/apps.ts";
import { userIdOf } from "#contract/users.ts";
import type { Accounts } from "../accounts/accounts.ts";
import { AppEventBody } from "../claims/app-event.ts";
import type { AppEvents } from "../claims/app-events.ts";
import type { Callers } from "../claims/callers.ts";
import type { Asking, Claims } from "../claims/claims.ts";
import { type Device, readDevice, readDeviceHeader } from "../claims/device.ts";
import { demandEventKey, demandKey, identifySdk } from "./access.ts";
import type { Handlers } from "./bind.ts";
import { refuseIssues } from "./issues.ts";

type SdkNames = "resolveToken" | "resolveUrl" | "claimDeferred" | "claimInstallReferrer" | "recordAppEvent";

export interface SdkDeps {
  accounts: Accounts;
  callers: Callers;
  claims: Claims;
  app_events: Pick<AppEvents, "record" | "recordOpening">;
}

/** For processes with the role `edge`. */
export function sdkHandlers({ accounts, callers, claims, app_events }: SdkDeps): Handlers<SdkNames> {
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
      const app = await appOf(request, () => callers.findTokenApp(query.cid, request.host));
      return claims.claimToken(app, query.cid, asking(request, device, query));
    },
    async resolveUrl({ body, request }) {
      const caller = await identifySdk(accounts, request.headers);
      const described = asking(request, readDevice(body.device), body);
      const { app, payload } = await claims.resolveUrl(caller.app, body.url, described, (owner) =>
        demandKey(owner, caller),
      );
      if (app !== null) await app_events.recordOpening(app, payload, described);
      return payload;
    },
    async claimDeferred({ body, request }) {
      const device = readDevice(body.device);
      const bundle_id = body.bundleId || device.bundle_id;
      const app = await appOf(request, () => callers.findCallerApp(bundle_id, request.host));
      return claims.claimDeferred(app, bundle_id, { ...asking(request, device, body), platform: body.platform });
    },
    async claimInstallReferrer({ body, request }) {
      const device = readDeviceHeader(request.headers["x-linkme-device"]);
      const app = await appOf(request, () => callers.findReferrerApp(body.referrer, request.host));
      return claims.claimReferrer(app, body.referrer, asking(request, device, body));
    },
    async recordAppEvent({ body, request }) {
      const parsed = AppEventBody.safeParse(body);
      if (!parsed.success) throw refuseIssues(parsed.error.issues, { schema: AppEventBody, part: "body" });
      const { device: described } = parsed.data;
      const device = described == null ? readDeviceHeader(request.headers["x-linkme-device"]) : readDevice(described);
      const bundle_id = parsed.data.bundleId || device.bundle_id;
      const find = async () =>
        (await callers.findEventApp(parsed.data)) ?? (await callers.findCallerApp(bundle_id, request.host));
      const caller = await identifySdk(accounts, request.headers, ["can_read", "can_write"]);
      const app = caller.app ?? (await find());
      demandEventKey(app, caller);
      await app_events.record(app, parsed.data, asking(request, device, parsed.data));
    },
  };
}

function asking(request: FastifyRequest, device: Device, says: Parameters<typeof userIdOf>[0]): Asking {
  const user_id = userIdOf(says);
  return { ip: request.ip, user_agent: request.headers["user-agent"] ?? "", device, user_id };
}

/** For processes with the role `api`. */
export function appEventHandlers(app_events: Pick<AppEvents, "list">): Handlers<"listAppEvents"> {
  return { listAppEvents: ({ params, query }) => app_events.list(params.app_id, query) };
}
