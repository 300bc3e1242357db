// Keys that are in use at LinkMe are accepted here too, so that apps in the field need no new one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";

const KEY = `ak_${"Ab-_9".repeat(8)}xyz`;

forEachEngine((engine) => {
  const open = async () => {
    const api = await openApi({ DATABASE_URL: await engine.address() });
    const app_id = await api.createApp({ require_api_key: true });
    const create = (body: object, options = {}) => api.call("POST", `/api/apps/${app_id}/keys`, body, options);
    const open = (key: string) =>
      api.call(
        "POST",
        "/api/app-events",
        { type: "open" },
        { token: null, headers: { "x-app-id": app_id, "x-api-key": key } },
      );
    return { api, app_id, create, open };
  };

  test("a key that is brought along is accepted from then on, and shown as it is", async () => {
    const { create, open: send } = await open();
    assert.equal((await send(KEY)).status, 401);
    const { status, body } = await create({ kind: "app", key: KEY });
    assert.deepEqual([status, body.key, body.key_hint], [201, KEY, "ak_Ab-_…9xyz"]);
    assert.equal((await send(KEY)).status, 204);
  });

  test("one that is in use is refused, whoever has it", async () => {
    const { api, create } = await open();
    await create({ kind: "app", key: KEY });
    const other = await api.createApp();
    for (const app_id of [other, other]) {
      const again = await api.call("POST", `/api/apps/${app_id}/keys`, { kind: "app", key: KEY });
      assert.deepEqual([again.status, again.body.error], [409, "conflict"]);
    }
  });

  test("only the operator brings one along", async () => {
    const { create, open: send } = await open();
    const token = (await create({ kind: "server" })).body.key;
    const { status, body } = await create({ kind: "app", key: KEY }, { token });
    assert.deepEqual([status, body.error], [403, "forbidden"]);
    assert.equal((await send(KEY)).status, 401);
  });

  for (const [what, input] of [
    ["too short", { kind: "app", key: "ak_short" }],
    ["of another kind", { kind: "server", key: KEY }],
    ["with another beginning", { kind: "app", key: `xk_${KEY.slice(3)}` }],
    ["with other characters", { kind: "app", key: `${KEY.slice(0, -1)}!` }],
  ] as const) {
    test(`one that is ${what} is refused, and the field named`, async () => {
      const { create } = await open();
      const { status, body } = await create(input);
      assert.deepEqual([status, body.error, body.details[0].path], [400, "invalid_request", "key"]);
    });
  }
});
