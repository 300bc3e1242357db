// The signing secret of a webhook over its life: shown, staged, promoted, undone, dropped, revoked. Called by the API.
// Each change is one transaction of the store, which reads the row again and lets changes of one app wait for each other;
// when the call answers, this process signs by it, and every other one within a second. Works with signing off too.
import type { SignatureScheme } from "#contract/destinations.ts";
import { GRACE_DEFAULT_SECONDS, type SecretState } from "#contract/secrets.ts";
import type { SigningSecrets } from "#destination-types/definition.ts";
import type { Sealer } from "../platform/sealing.ts";
import { timeText } from "../platform/time-text.ts";
import type { DestinationRow, SealedSecrets } from "./destination.ts";
import { newPrivateKey, publish, publishedKey, schemeOf, sealMaterial } from "./key-pairs.ts";
import { dropNext, promote, readSecrets, stage, undo, withoutExpired } from "./secrets.ts";
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

type Step = (secrets: SealedSecrets, at: number, scheme: SignatureScheme) => SealedSecrets;

/** The secrets after a step, and the row that holds them. */
interface Changed {
  secrets: SigningSecrets;
  row: DestinationRow;
}

export function createRotation({ store, sealer, now, changed }: RotationDependencies) {
  async function getSecret(...named: Named): Promise<SecretState> {
    const [id, app_scope] = named;
    const row = await found(store.find(id, within(app_scope)));
    const secrets = withoutExpired(readSecrets(row), now());
    const { current, next } = openForCaller(secrets, sealer);
    const { previous, older } = secrets;
    return {
      signing_secret: current,
      ...withKey("public_key", publishedKey(row, "current")),
      ...(next !== undefined && { next_secret: next }),
      ...withKey("next_public_key", publishedKey(row, "next")),
      ...(previous !== undefined && { previous_valid_until: timeText(previous.valid_until) }),
      ...(older !== undefined && { older_valid_until: older.map((one) => timeText(one.valid_until)) }),
    };
  }

  async function rotateSecret(...named: Named) {
    const made = { secret: newSecret(), private_key: newPrivateKey() };
    const { row } = await change(named, "secret staged", (secrets, at, scheme) =>
      stage(secrets, sealNew(made, scheme), at),
    );
    return { next_secret: made.secret, ...withKey("next_public_key", publishedKey(row, "next")) };
  }

  async function promoteSecret(
    id: string,
    app_scope: string | null,
    grace_seconds = GRACE_DEFAULT_SECONDS,
    actor = SYSTEM,
  ) {
    const at = now();
    const valid_until = at + grace_seconds * 1000;
    const promoted = await change([id, app_scope, actor], "secret promoted", (secrets) =>
      promote(secrets, valid_until, at),
    );
    return { ...shown(promoted), previous_valid_until: timeText(valid_until) };
  }

  async function undoPromotion(...named: Named) {
    return shown(await change(named, "promotion of the secret undone", undo));
  }

  async function dropNextSecret(...named: Named): Promise<void> {
    await change(named, "staged secret dropped", dropNext);
  }

  /** Also the way out when the secrets of before cannot be read any more: none of them is opened. */
  async function revokeSecret(...named: Named) {
    const made = { secret: newSecret(), private_key: newPrivateKey() };
    return shown(await change(named, "secret revoked", (_, __, scheme) => ({ current: sealNew(made, scheme) })));
  }

  /** A webhook that does not sign with Ed25519 keeps no key. */
  function sealNew({ secret, private_key }: { secret: string; private_key: string }, scheme: SignatureScheme) {
    return sealMaterial(scheme === "ed25519" ? { secret, private_key } : { secret }, sealer);
  }

  /** Answers what is there afterwards; a step that cannot be taken, or read, changes nothing. */
  async function change([id, app_scope, actor = SYSTEM]: Named, cause: string, step: Step): Promise<Changed> {
    const at = now();
    const opened: SigningSecrets[] = [];
    const result = await found(
      store.change(id, within(app_scope), { now: at, actor }, (row) => {
        const scheme = schemeOf(row);
        const before = readSecrets(row);
        const secrets = step(before, at, scheme);
        const plain = openForCaller(secrets, sealer);
        opened.push(plain);
        const is_signed_anew = secrets.current !== before.current;
        return {
          row: {
            ...row,
            ...{ secrets: JSON.stringify(secrets), public_keys: publish(scheme, plain), updated_at: at },
            era: is_signed_anew ? row.era + 1 : row.era,
          },
          cause,
          reset_health: false,
          // It may be the signature that its receiver refused: the next attempt tells at once.
          ...(row.state === "paused" && is_signed_anew && { probe_at: at }),
        };
      }),
    );
    await changed(result.row);
    // A transaction may run its decision again; the last time counts.
    const last = opened.at(-1);
    if (last === undefined) throw new Error("a change of secrets was decided");
    return { secrets: last, row: result.row };
  }

  return { getSecret, rotateSecret, promoteSecret, undoPromotion, dropNextSecret, revokeSecret };
}

function shown({ secrets, row }: Changed) {
  return { signing_secret: secrets.current, ...withKey("public_key", publishedKey(row, "current")) };
}

/** A member that is absent without a key. */
function withKey<Name extends string>(name: Name, key: string | undefined): { [Key in Name]?: string } {
  // The computed key widens to string; there is this one member or none.
  return (key === undefined ? {} : { [name]: key }) as { [Key in Name]?: string };
}
