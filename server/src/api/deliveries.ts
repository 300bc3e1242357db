// Deliveries: list, read with attempts, retry, resend, cancel.
import type { z } from "zod";
import type { DeliveriesPage, DeliveriesQuery, Delivery, DeliveryDetail } from "#contract/deliveries.ts";
import type { PageQuery } from "#contract/fields.ts";
import type { Handlers } from "./bind.ts";

type Names = "listDeliveries" | "getDelivery" | "retryDelivery" | "resendDelivery" | "cancelDelivery";

/** What this file needs of the deliveries; `app_scope` null means any app. */
export interface Ledger {
  listDeliveries(
    destination_id: string,
    app_scope: string | null,
    query: z.output<typeof DeliveriesQuery>,
    page: PageQuery,
  ): Promise<z.output<typeof DeliveriesPage>>;
  getDelivery(id: string, app_scope: string | null): Promise<DeliveryDetail>;
  retryDelivery(id: string, app_scope: string | null): Promise<Delivery>;
  resendDelivery(id: string, app_scope: string | null, destination_id?: string): Promise<Delivery>;
  cancelDelivery(id: string, app_scope: string | null): Promise<Delivery>;
}

export function deliveryHandlers(ledger: Ledger): Handlers<Names> {
  return {
    listDeliveries({ params, access, query }) {
      const { limit, cursor, ...filter } = query;
      return ledger.listDeliveries(params.id, access.app_scope, filter, { limit, cursor });
    },
    getDelivery: ({ params, access }) => ledger.getDelivery(params.id, access.app_scope),
    retryDelivery: ({ params, access }) => ledger.retryDelivery(params.id, access.app_scope),
    resendDelivery: ({ params, access, body }) =>
      ledger.resendDelivery(params.id, access.app_scope, body?.destination_id),
    cancelDelivery: ({ params, access }) => ledger.cancelDelivery(params.id, access.app_scope),
  };
}
