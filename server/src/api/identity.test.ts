// With an app's consent, over HTTP and on both engines: what a click keeps of Google Analytics, and who is tied to what.
// Without it, that nothing of the kind is read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { click, ofType, startShop } from "../../test/support/sdk.ts";
import { sql } from "../platform/sql.ts";

const GA = "GA1.1.1390821944.1652345678";
const SESSION = "GS2.1.s1747323152$o28$g0$t1747323152$j60$l0$h69286059";
const COOKIES = { cookie: `theme=dark; _ga=${GA}; _ga_ABC123=${SESSION}; _ga_x=1` };
const KEPT = { client_id: "1390821944.1652345678", cookies: { _ga: GA, _ga_ABC123: SESSION } };

forEachEngine((engine) => {
  test("a click keeps the cookies of Google Analytics with the app's consent, and its token's event has them too", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const with_ga = await click(api, app_id, "hello", { headers: COOKIES });
    const without = await click(api, app_id, "hello", { headers: { cookie: "theme=dark" } });
    for (const type of ["link.click", "link.token_created"] as const) {
      assert.deepEqual(
        (await ofType(api, app_id, type)).map(({ cid, ga }) => [cid, ga]),
        [
          [with_ga, KEPT],
          [without, undefined],
        ],
        type,
      );
    }
    const stored = await api.db.query<{ ga: string | null }>(sql`select ga from clicks order by cid`);
    assert.deepEqual(
      stored.map(({ ga }) => ga && JSON.parse(ga)),
      [KEPT, null],
    );
  });

  test("without it nothing of them is read, and the setting holds from the next click on", async () => {
    const { api, app_id } = await startShop(engine);
    assert.equal((await api.call("GET", `/api/apps/${app_id}`)).body.analytics_consent, false);
    await click(api, app_id, "hello", { headers: COOKIES });
    const [event] = await ofType(api, app_id, "link.click");
    assert.equal(event !== undefined && "ga" in event, false);
    assert.deepEqual(await api.db.query(sql`select ga from clicks`), [{ ga: null }]);
    const patched = await api.call("PATCH", `/api/apps/${app_id}`, { analytics_consent: true });
    assert.deepEqual([patched.status, patched.body.analytics_consent], [200, true]);
  });
});
