// Sample events for the test button: complete, plausible, and marked with `test: true`. Pure.
import type { EventData, EventType } from "#contract/events.ts";
import { timeText } from "../platform/time-text.ts";

const CLAIM_DAYS = 30;
const DAY_MS = 86_400_000;
const LINK_ID = "lnk_sample";
const CID = "0192f0c0ffee0000c0ffee0000c0ffee";
const UTM = { utm_source: "newsletter", utm_campaign: "spring" };

const SAMPLES: { [Type in EventType]: (now: number) => EventData[Type] } = {
  "link.click": () => ({
    ...{ link_id: LINK_ID, platform: "ios", dest_url: "https://apps.apple.com/app/id000000000", slug: "hello" },
    ...{ hostname: "go.example.com", cid: CID, utm: UTM, params: { ref: "friend" }, referrer: "www.example.com" },
    test: true,
  }),
  "link.token_created": (now) => ({
    ...{
      link_id: LINK_ID,
      platform: "ios",
      cid: CID,
      dest_url: "https://apps.apple.com/app/id000000000",
      slug: "hello",
    },
    ...{ expires_at: timeText(now + CLAIM_DAYS * DAY_MS), methods: ["direct", "fingerprint"] },
    test: true,
  }),
  "link.claim": (now) => ({
    ...{ link_id: LINK_ID, platform: "ios", cid: CID, claim_type: "fingerprint", path: "/welcome", utm: UTM },
    ...{ duplicate: false, claimed_at: timeText(now), test: true },
  }),
  "link.app_open": (now) => ({
    ...{ platform: "ios", type: "open", link_id: LINK_ID, cid: CID, user_id: "user-1" },
    ...{ timestamp: Math.floor(now / 1000), test: true },
  }),
  "link.deferred_claim_attempt": () => ({
    ...{ platform: "ios", matched: true, method: "fingerprint", reason: "matched", link_id: LINK_ID, cid: CID },
    ...{ bundle_id: "com.example.app", test: true },
  }),
};

export function sampleData<Type extends EventType>(event: Type, now: number): EventData[Type] {
  return SAMPLES[event](now);
}
