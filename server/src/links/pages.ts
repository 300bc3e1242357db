// The few pages that the edge answers: a link's preview for crawlers, the landing page with the store links, what a visitor
// reads when there is no link, and the page at the server's own address. Pure; called by redirect.ts. Self-contained: no script, no request to anywhere,
// every value escaped.
import { hash } from "node:crypto";
import type { PreparedLink } from "./link.ts";
import type { Target } from "./target.ts";

export interface Page {
  readonly html: string;
  readonly headers: Readonly<Record<string, string>>;
}

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; }
  main { max-width: 26rem; padding: 2rem; text-align: center; }
  h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .5rem; overflow-wrap: anywhere; }
  p { margin: 0 0 1.5rem; overflow-wrap: anywhere; }
  a { display: block; margin: .75rem 0; padding: .75rem 1rem; border: 1px solid; border-radius: .5rem;
    color: inherit; font-weight: 600; text-decoration: none; }
  a:focus-visible { outline: 3px solid; outline-offset: 2px; }`;

const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${hash("sha256", STYLE, "base64")}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": POLICY,
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

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

/** Where to get the app, for a visitor whom no address of the link fits. */
export function landingPage(link: PreparedLink): Page {
  const title = link.row.og_title ?? link.app.name;
  const buttons: [string, string | null][] = [
    ["Download on the App Store", browserAddress(link.store.ios)],
    ["Get it on Google Play", browserAddress(link.store.android)],
    ["Continue in the browser", browserAddress(link.web)],
  ];
  const anchors = buttons.flatMap(([label, address]) =>
    address === null ? [] : [`<a href="${escapeHtml(address)}" rel="noopener noreferrer">${label}</a>`],
  );
  const description =
    anchors.length === 0 ? "Open this link on a phone that has the app." : (link.row.og_description ?? "");
  return page(title, [], [`<h1>${escapeHtml(title)}</h1>`, `<p>${escapeHtml(description)}</p>`, ...anchors].join("\n"));
}

export function missingPage(): Page {
  return page(
    "Link not found",
    [],
    "<h1>Link not found</h1>\n<p>There is no link at this address, or it is switched off. Check it for a typing error.</p>",
  );
}

/** A link that was, and is over. */
export function endedPage(): Page {
  return page(
    "Link expired",
    [],
    "<h1>This link has expired</h1>\n<p>It leads nowhere any more. Ask whoever gave it to you for a new one.</p>",
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

function page(title: string, head: readonly string[], body: string): Page {
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
${head.join("\n")}
<style>${STYLE}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
  return { html, headers: HEADERS };
}

/** A desktop browser opens http and https only. */
function browserAddress(target: Target | null): string | null {
  return target !== null && target.host !== null ? target.text : null;
}

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => ESCAPES[sign] ?? sign);
}
