// Who changed a webhook, as the API tells it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openApi } from "../../test/support/api.ts";

const api = await openApi();

test("every change of a webhook is kept with its cause and who made it, newest first, page by page", async () => {
  const app_id = await api.createApp();
  const app = `/api/apps/${app_id}`;
  const made = await api.call("POST", `${app}/webhooks`, { url: "https://example.com/", events: ["link.click"] });
  const url = `/api/webhooks/${made.body.id}`;
  const { body: key } = await api.call("POST", `${app}/keys`, { kind: "server", label: "Backend", can_write: true });
  const { body: plain } = await api.call("POST", `${app}/keys`, { kind: "server", can_write: true });
  const change = async (method: string, path: string, body: object | undefined, token?: string) => {
    const answer = await api.call(method, `${url}${path}`, body, token === undefined ? {} : { token });
    assert.ok(answer.status < 300, JSON.stringify(answer.body));
  };
  await change("PATCH", "", { description: "no change of its state" }, key.key);
  await change("PATCH", "", { events: ["link.claim"] }, key.key);
  await change("POST", "/secret/rotate", undefined, plain.key);
  await change("POST", "/secret/promote", { grace_seconds: 60 }, key.key);
  await change("POST", "/secret/undo", undefined, key.key);
  await change("DELETE", "/secret/next", undefined, key.key);
  await change("POST", "/secret/revoke", undefined);
  await change("PATCH", "", { enabled: false }, key.key);
  await change("POST", "/secret/rotate", undefined, key.key);
  await change("PATCH", "", { enabled: true });
  const backend = `key:${key.id} (Backend, ${key.key_hint})`;
  const expected = [
    ["active", "link.claim", "enabled", "operator"],
    ["off", "link.claim", "secret staged", backend],
    ["off", "link.claim", "turned off", backend],
    ["active", "link.claim", "secret revoked", "operator"],
    ["active", "link.claim", "staged secret dropped", backend],
    ["active", "link.claim", "promotion of the secret undone", backend],
    ["active", "link.claim", "secret promoted", backend],
    ["active", "link.claim", "secret staged", `key:${plain.id} (${plain.key_hint})`],
    ["active", "link.claim", "changed: events", backend],
    ["active", "link.click", "changed: description", backend],
    ["active", "link.click", "created", "operator"],
  ];
  const rows = ({ items }: { items: { state: string; events: string[]; cause: string; actor: string }[] }) =>
    items.map(({ state, events, cause, actor }) => [state, ...events, cause, actor]);
  const all = (await api.call("GET", `${url}/history`)).body;
  assert.deepEqual(rows(all), expected);
  assert.equal(all.next_cursor, null);
  const seen: unknown[] = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const page: { items: []; next_cursor: string | null } = (
      await api.call("GET", `${url}/history?limit=4${cursor === "" ? "" : `&cursor=${cursor}`}`)
    ).body;
    seen.push(...rows(page));
    cursor = page.next_cursor;
  }
  assert.deepEqual(seen, expected);
});

test("the history of a webhook that was deleted is gone with it", async () => {
  const app = `/api/apps/${await api.createApp()}`;
  const made = await api.call("POST", `${app}/webhooks`, { url: "https://example.com/", events: ["link.click"] });
  const url = `/api/webhooks/${made.body.id}`;
  assert.equal((await api.call("DELETE", url)).status, 204);
  assert.equal((await api.call("GET", `${url}/history`)).status, 404);
});
