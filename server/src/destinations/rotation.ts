// The signing secret of a webhook over its life: shown, staged, promoted, undone, dropped, revoked. Called by the API.
// Each change is one transaction of the store, which reads the row again and lets changes of one app wait for each other;
// when the call answers, this process signs by it, and every other one within a second. Works with signing off too.
import { GRACE_DEFAULT_SECONDS, type SecretState } from "#contract/secrets.ts";
import type { SigningSecrets } from "#destination-types/definition.ts";
import type { Sealer } from "../platform/sealing.ts";
import type { SealedSecrets } from "./destination.ts";
import { timeText } from "./health.ts";
import { dropNext, promote, readSecrets, stage, undo } from "./secrets.ts";
import { type DestinationStore, SYSTEM } from "./store.ts";
import { found, newSecret, openForCaller, within } from "./webhook-rules.ts";

interface RotationDependencies {
  store: DestinationStore;
  sealer: Sealer;
  now(): number;
  /** Called after a change was committed, before the call that made it answers. */
  changed(row: { id: string; app_id: string }): Promise<void>;
}

/** Which webhook is meant, an app's key means those of its app; and who asks, the server itself when nobody is named. */
type Named = [id: string, app_scope: string | null, actor?: string];

type Step = (secrets: SealedSecrets, at: number) => SealedSecrets;

export function createRotation({ store, sealer, now, changed }: RotationDependencies) {
  async function getSecret(...named: Named): Promise<SecretState> {
    const [id, app_scope] = named;
    const row = await found(store.find(id, within(app_scope)));
    const { current, next, previous } = openForCaller(readSecrets(row), sealer);
    return {
      signing_secret: current,
      ...(next !== undefined && { next_secret: next }),
      ...(previous !== undefined &&
        previous.valid_until > now() && { previous_valid_until: timeText(previous.valid_until) }),
    };
  }

  async function rotateSecret(...named: Named): Promise<{ next_secret: string }> {
    const next_secret = newSecret();
    await change(named, "secret staged", (secrets, at) => stage(secrets, sealer.seal(next_secret), at));
    return { next_secret };
  }

  async function promoteSecret(
    id: string,
    app_scope: string | null,
    grace_seconds = GRACE_DEFAULT_SECONDS,
    actor = SYSTEM,
  ) {
    const at = now();
    const valid_until = at + grace_seconds * 1000;
    const { current } = await change([id, app_scope, actor], "secret promoted", (secrets) =>
      promote(secrets, valid_until, at),
    );
    return { signing_secret: current, previous_valid_until: timeText(valid_until) };
  }

  async function undoPromotion(...named: Named): Promise<{ signing_secret: string }> {
    const { current } = await change(named, "promotion of the secret undone", undo);
    return { signing_secret: current };
  }

  async function dropNextSecret(...named: Named): Promise<void> {
    await change(named, "staged secret dropped", dropNext);
  }

  /** Also the way out when the secrets of before cannot be read any more: none of them is opened. */
  async function revokeSecret(...named: Named): Promise<{ signing_secret: string }> {
    const { current } = await change(named, "secret revoked", () => ({ current: sealer.seal(newSecret()) }));
    return { signing_secret: current };
  }

  /** Answers the secrets as they are afterwards; a step that cannot be taken, or read, changes nothing. */
  async function change([id, app_scope, actor = SYSTEM]: Named, cause: string, step: Step): Promise<SigningSecrets> {
    const at = now();
    const opened: SigningSecrets[] = [];
    const result = await found(
      store.change(id, within(app_scope), { now: at, actor }, (row) => {
        const secrets = step(readSecrets(row), at);
        opened.push(openForCaller(secrets, sealer));
        return {
          row: { ...row, secrets: JSON.stringify(secrets), updated_at: at },
          cause,
          reset_health: false,
        };
      }),
    );
    await changed(result.row);
    // A transaction may run its decision again; the last time counts.
    const last = opened.at(-1);
    if (last === undefined) throw new Error("a change of secrets was decided");
    return last;
  }

  return { getSecret, rotateSecret, promoteSecret, undoPromotion, dropNextSecret, revokeSecret };
}
