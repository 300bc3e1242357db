// What clicks add up to.
import type { Analytics, AnalyticsQuery } from "#contract/analytics.ts";
import type { Handlers } from "./bind.ts";

export interface AnalyticsAnswers {
  getAnalytics(app_id: string, query: AnalyticsQuery): Promise<Analytics>;
}

export function analyticsHandlers(analytics: AnalyticsAnswers): Handlers<"getAnalytics"> {
  return { getAnalytics: ({ params, query }) => analytics.getAnalytics(params.app_id, query) };
}
