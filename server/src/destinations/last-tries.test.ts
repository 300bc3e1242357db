// A webhook whose attempts fail says what to do about the newest of them, and that a test or replay has gone well since.
import assert from "node:assert/strict";
import { test } from "node:test";
import { input, openWorld, START } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { FAILURE_RULES } from "../../test/support/failing.ts";
import type { Database } from "../platform/database.ts";
import { uuidFloor } from "../platform/ids.ts";
import { rows, sql } from "../platform/sql.ts";
import { lastTriesOf, type Try } from "./last-tries.ts";

const TRY: Try = {
  ...{ started_at: START, trigger: "auto", outcome: "unreachable", status_code: null },
  ...{ cause: "refused_address", error: "127.0.0.1 is not public" },
};
const advise = ({ cause, status_code }: Pick<Try, "cause" | "status_code">) => `Mend ${cause ?? status_code}.`;
const ROW = { state_changed_at: 0, updated_at: 0 };
const WELL: Partial<Try> = { outcome: "accepted", cause: null, status_code: 200, error: null };

const cases: [
  title: string,
  tries: Partial<Try>[],
  advice: string | null,
  well_at: number | null,
  updated_at?: number,
][] = [
  ["nothing is on record", [], null, null],
  ["one failed", [{}], "Mend refused_address.", null],
  [
    "several failed: of the newest",
    [{ started_at: START - 5, cause: "dns" }, { started_at: START - 1 }],
    "Mend refused_address.",
    null,
  ],
  ["it was refused", [{ outcome: "refused", cause: null, status_code: 401 }], "Mend 401.", null],
  ["the newest was cut off here", [{ started_at: START + 1, cause: "aborted" }, {}], "Mend refused_address.", null],
  ["nothing could be sent", [{ outcome: "misconfigured", cause: null }], null, null],
  ["the receiver wanted no more", [{ outcome: "refused", cause: null, status_code: 410 }], null, null],
  ["its settings were changed since", [{}], null, null, START + 1],
  ["an older event has failed since", [{ started_at: START - 120_001 }], null, null],
  ["it took its time", [{ started_at: START - 120_000 }], "Mend refused_address.", null],
  ["one went well since", [{}, { ...WELL, started_at: START + 1 }], "Mend refused_address.", START + 1],
  ["one went well before", [{}, { ...WELL, started_at: START - 1 }], "Mend refused_address.", null],
  ["one went well before a failure that is not on record any more", [{ ...WELL, started_at: START - 1 }], null, null],
];
for (const [title, tries, advice, well_at, updated_at = 0] of cases) {
  test(`what to do where ${title}`, () => {
    const of = tries.map((one) => ({ ...TRY, ...one }));
    assert.deepEqual(lastTriesOf({ ...ROW, updated_at }, of, START, advise), { advice, well_at });
  });
}

async function store({ query }: Pick<Database, "query">, id: string, position: string, one: Try): Promise<void> {
  await query(sql`insert into attempts (destination_id, position, number, trigger, started_at, duration_ms, outcome,
          status_code, error, cause, response_headers, response_snippet, response_truncated)
        values ${rows([[id, position, 1, one.trigger, one.started_at, 1, one.outcome, one.status_code, one.error, one.cause, "{}", "", 0]])}`);
}

forEachEngine((engine) => {
  test("a webhook that fails, is paused or disabled says what to do about the newest attempt, or that one went well", async () => {
    const { db, destinations, another, clock } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    const advising = another(undefined, advise);
    const step = async () => (await advising.getWebhook(id, null)).next_step ?? "";
    const insert = (position: string, one: Try) => store(db, id, position, one);
    const set = (state: string) => db.query(sql`update destinations set state = ${state} where id = ${id}`);
    await db.query(sql`update destination_health set consecutive_failures = 4, last_failure_at = ${START + 50}
      where destination_id = ${id}`);
    await insert(uuidFloor(START + 40), { ...TRY, started_at: START + 50 });
    const failed = "Its last 4 attempts have all failed, tests and replays left out.";
    assert.match(await step(), new RegExp(`^${failed} Mend refused_address\\. GET .* lists the deliveries, and GET `));
    await set("paused");
    assert.match(await step(), /^Mend refused_address\. What is pending waits, and goes on by itself/);
    await set("disabled");
    assert.match(await step(), /^Mend refused_address\. Try it with POST .*, then turn the webhook on with PATCH /);

    // More attempts at newer events than are looked at: that of the replay that sent last is found for itself.
    for (let n = 1; n <= 25; n++) await insert(uuidFloor(START + 40 + n), { ...TRY, started_at: START + 49 });
    await insert(uuidFloor(START - 1), { ...TRY, trigger: "replay", started_at: START + 45 });
    await insert(uuidFloor(START), { ...TRY, ...WELL, trigger: "replay", started_at: START + 60 });
    clock.at += 1_000;
    const went_well = "An attempt has succeeded at 2026-01-31T09:30:00.060Z, after the last failure.";
    assert.ok((await step()).startsWith(`${went_well} If the receiver is well, turn the webhook on with PATCH `));
    await set("paused");
    assert.ok((await step()).startsWith(`${went_well} What is pending waits, and goes on by itself`));
    await set("active");
    assert.equal(
      await step(),
      `${failed} An attempt of a test or replay has succeeded after those, at 2026-01-31T09:30:00.060Z: if the receiver is well, nothing is to be done, and this ends with the next other attempt that succeeds.`,
    );
    await insert(uuidFloor(START + 99), { ...TRY, trigger: "test", started_at: START + 70 });
    assert.match(await step(), / Mend refused_address\. /);
  });

  test("one that pauses itself or is given up changes no settings, so what to do about the attempts before is told still", async () => {
    const { db, destinations, another, clock } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input());
    const step = async () => (await another(undefined, advise).getWebhook(id, null)).next_step ?? "";
    await store(db, id, uuidFloor(START), TRY);
    clock.at += FAILURE_RULES.pause_after_ms;
    await db.query(sql`update destination_health set consecutive_failures = ${FAILURE_RULES.pause_after_failures},
      failing_since = ${START}, last_failure_at = ${START} where destination_id = ${id}`);
    assert.equal((await destinations.review(id))?.state, "paused");
    assert.match(await step(), /^Mend refused_address\. What is pending waits, and goes on by itself/);
    clock.at += 1_000;
    await destinations.disable(id, "It has failed for days");
    assert.match(await step(), /^Mend refused_address\. Try it with POST /);
  });

  async function openRefused() {
    const { db, another, clock } = await openWorld(engine);
    const advising = another(undefined, advise);
    const { id } = await advising.createWebhook("shop", input());
    const step = async () => (await advising.getWebhook(id, null)).next_step ?? "";
    const fail = async (status_code: number) => {
      clock.at += 1_000;
      const one: Try = { ...TRY, outcome: "refused", cause: null, status_code, started_at: clock.at };
      await store(db, id, uuidFloor(clock.at), one);
      await db.query(sql`update destination_health set consecutive_failures = 3, last_failure_at = ${clock.at}
        where destination_id = ${id}`);
    };
    const promote = async (grace_seconds: number) => {
      await advising.rotateSecret(id, null);
      await advising.promoteSecret(id, null, grace_seconds);
      return clock.at + grace_seconds * 1_000;
    };
    return { advising, clock, id, step, fail, promote };
  }

  test("while a promotion can be undone, a receiver that refuses may be one that was not told, and the call is named", async () => {
    const { advising, id, step, fail, promote } = await openRefused();
    await fail(401);
    assert.match(await step(), / Mend 401\. GET /, "nothing was promoted");
    const until = new Date(await promote(60)).toISOString();
    await fail(403);
    const undo = `if the receiver knows only the one before, which is valid until ${until}, take that back with POST /api/webhooks/${id}/secret/undo. GET `;
    assert.ok((await step()).includes(` Mend 403. Its signing secret was promoted lately: ${undo}`), await step());
    await fail(500);
    assert.match(await step(), / Mend 500\. GET /, "that is no word on a signature");
    await fail(401);
    await advising.rotateSecret(id, null);
    await fail(401);
    assert.match(await step(), / Mend 401\. GET /, "another one is staged since, and undoing would be refused");
    await advising.dropNextSecret(id, null);
    await fail(401);
    assert.match(await step(), /secret\/undo\. /);
    await advising.undoPromotion(id, null);
    await fail(401);
    assert.match(await step(), / Mend 401\. GET /);
  });

  test("a promotion is beside the point where no signature was looked at, nothing is signed, or it cannot be undone any more", async () => {
    const { advising, clock, id, step, fail, promote } = await openRefused();
    const valid_until = await promote(60);
    const statuses: [status_code: number, is_undo_told: boolean][] = [
      [400, true],
      [401, true],
      [403, true],
      [404, false],
    ];
    for (const [status_code, is_undo_told] of statuses) {
      await fail(status_code);
      assert.equal(/secret\/undo\./.test(await step()), is_undo_told, String(status_code));
    }
    await advising.patchWebhook(id, null, { signing: false });
    await fail(401);
    assert.match(await step(), / Mend 401\. GET /, "nothing is signed");
    await advising.patchWebhook(id, null, { signing: true });
    await fail(401);
    clock.at = valid_until - 1;
    assert.match(await step(), /secret\/undo\. /);
    clock.at = valid_until;
    assert.match(await step(), / Mend 401\. GET /, "the one before is valid no more");
  });
});
