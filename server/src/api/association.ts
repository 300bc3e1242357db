// The association files of a host: /apple-app-site-association (and below /.well-known) and /.well-known/assetlinks.json.
// Called by compose-edge.ts. Answered at once and without redirect, which both systems demand, or refused in JSON.
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { App } from "#contract/apps.ts";
import { refuse } from "../errors.ts";
import { androidFile, appleFile } from "../links/association.ts";
import { hostWithoutPort } from "../links/target.ts";

export interface AssociationDeps {
  isOwnHost(hostname: string): boolean;
  /** The app that a host belongs to. */
  findAppOf(hostname: string): Promise<App | null>;
  /** Every app of the server, as far as a file can name them. */
  listApps(): Promise<readonly App[]>;
  now(): number;
}

const CACHE_CONTROL = "public, max-age=300";
/** How long the apps of the server are remembered for its own host: whoever asks often costs no reads. */
const APPS_TTL_MS = 5_000;

export function registerAssociation(app: FastifyInstance, deps: AssociationDeps): void {
  let known: { apps: Promise<readonly App[]>; until: number } | null = null;

  function allApps(): Promise<readonly App[]> {
    if (known !== null && deps.now() < known.until) return known.apps;
    const apps = deps.listApps();
    known = { apps, until: deps.now() + APPS_TTL_MS };
    // Whoever waits is told; the next one asks again.
    apps.catch(() => {
      known = null;
    });
    return apps;
  }

  async function appsOf(request: FastifyRequest): Promise<readonly App[]> {
    const hostname = hostWithoutPort(request.host);
    if (hostname !== null && deps.isOwnHost(hostname)) return allApps();
    const found = hostname === null ? null : await deps.findAppOf(hostname);
    if (found === null) throw refuse("not_found", `The host ${request.host} is not connected to an app.`);
    return [found];
  }

  function answer(file: object | null, needed: string, reply: FastifyReply): FastifyReply {
    if (file === null)
      throw refuse("not_found", `The app of this host has no such file: set ${needed} in its settings.`);
    // As bytes: to a text Fastify would add a charset, and validators that take the type by the letter find another one.
    const bytes = Buffer.from(JSON.stringify(file));
    return reply.header("cache-control", CACHE_CONTROL).type("application/json").send(bytes);
  }

  for (const path of ["/apple-app-site-association", "/.well-known/apple-app-site-association"]) {
    app.get(path, async (request, reply) =>
      answer(appleFile(await appsOf(request)), "ios_bundle_id and ios_team_id", reply),
    );
  }
  app.get("/.well-known/assetlinks.json", async (request, reply) =>
    answer(androidFile(await appsOf(request)), "android_package and android_sha256", reply),
  );
}
