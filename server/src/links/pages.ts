// The few pages that the edge answers: a link's preview for crawlers, the landing page with the store links, what a visitor
// reads when there is no link, and the page at the server's own address. Pure; called by redirect.ts. Self-contained: no script, no request to anywhere,
// every value escaped.
import type { PreparedLink } from "./link.ts";
import { escapeHtml, type Page, page } from "./page.ts";
import { drawSvg } from "./qr.ts";

const INLINE_PIXELS = 180;

/** What a chat or a search engine shows of the link. @param address the link's own */
export function previewPage(link: PreparedLink, address: string): Page {
  const { og_title, og_description, og_image_url } = link.row;
  const title = og_title ?? link.app.name;
  const properties: [string, string | null][] = [
    ["og:type", "website"],
    ["og:url", address],
    ["og:site_name", link.app.name],
    ["og:title", title],
    ["og:description", og_description],
    ["og:image", og_image_url],
  ];
  const tags = properties.flatMap(([name, value]) =>
    value === null ? [] : [`<meta property="${name}" content="${escapeHtml(value)}">`],
  );
  tags.push(`<meta name="twitter:card" content="${og_image_url === null ? "summary" : "summary_large_image"}">`);
  if (og_description !== null) tags.push(`<meta name="description" content="${escapeHtml(og_description)}">`);
  return page(title, tags, `<h1>${escapeHtml(title)}</h1>\n<p>${escapeHtml(og_description ?? "")}</p>`);
}

/** Where the page leads, by store and to the web; null where the link leads to none. */
export interface Ways {
  readonly ios: string | null;
  readonly android: string | null;
  readonly web: string | null;
}

/**
 * Where to get the app, for a visitor whom no address of the link fits. An iPad that calls itself a Mac finds the App Store
 * here too.
 * @param address of the link, shown as a QR code for the phone at hand; null where there is no slug
 */
export function landingPage(link: PreparedLink, { ios, android, web }: Ways, address: string | null): Page {
  const title = link.row.og_title ?? link.app.name;
  const buttons: [string, string | null][] = [
    ["Download on the App Store", ios],
    ["Get it on Google Play", android],
    ["Continue in the browser", web],
  ];
  const anchors = buttons.flatMap(([label, to]) =>
    to === null ? [] : [`<a href="${escapeHtml(to)}" rel="noopener noreferrer">${label}</a>`],
  );
  const description =
    anchors.length === 0 ? "Open this link on a phone that has the app." : (link.row.og_description ?? "");
  const code = address === null ? [] : [drawSvg(address, INLINE_PIXELS), "<p>Scan it with your phone.</p>"];
  const body = [`<h1>${escapeHtml(title)}</h1>`, `<p>${escapeHtml(description)}</p>`, ...anchors, ...code];
  return page(title, [], body.join("\n"));
}

/** For a link that has expired, or taken as many clicks as it may. */
export function endedPage(link: PreparedLink): Page {
  const body = `<h1>This link has ended</h1>
<p>It was made for a certain time or number of visits. Ask whoever sent it for a new one.</p>`;
  return page(link.row.og_title ?? "This link has ended", [], body);
}

export function missingPage(): Page {
  return page(
    "Link not found",
    [],
    "<h1>Link not found</h1>\n<p>There is no link at this address, or it is switched off. Check it for a typing error.</p>",
  );
}

/** On the server's own address, where no link lives: leads on to what an operator looks for. */
export function welcomePage(): Page {
  const body = `<h1>LinkMe Server</h1>
<p>It runs. Links live one level below this address; how they are made is told in the description of the API.</p>
<a href="/docs">Open the API description</a>`;
  return page("LinkMe Server", [], body);
}

export function unavailablePage(retry_after_seconds: number): Page {
  const body = "<h1>Please try again</h1>\n<p>This link cannot be looked up right now. Try again in a moment.</p>";
  const made = page("Please try again", [], body);
  return { html: made.html, headers: { ...made.headers, "retry-after": String(retry_after_seconds) } };
}
