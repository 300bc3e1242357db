// Setting Google Analytics up, and looking whether events arrive there.
import type { Ga4Arrival, Ga4ArrivalBody, Ga4Setup, Ga4SetupBody } from "#contract/ga4-setup.ts";
import { actorOf } from "./access.ts";
import type { Handlers } from "./bind.ts";

export interface Ga4Parts {
  setUp(app_id: string, body: Ga4SetupBody, actor: string): Promise<Ga4Setup>;
  check(app_id: string, body: Ga4ArrivalBody): Promise<Ga4Arrival>;
}

export function ga4SetupHandlers({ setUp, check }: Ga4Parts): Handlers<"setUpGa4" | "checkGa4Arrival"> {
  return {
    setUpGa4: ({ params, access, body }) => setUp(params.app_id, body, actorOf(access)),
    checkGa4Arrival: ({ params, body }) => check(params.app_id, body),
  };
}
