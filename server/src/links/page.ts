// The frame of every page that the edge answers: one style, a strict policy, every header that keeps tokens from leaking.
// Pure; called by pages.ts, app-pages.ts and explain-page.ts. A page asks nobody for anything and runs no script but one
// whose hash its policy names.
import { hash } from "node:crypto";

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
  h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
  dl { text-align: left; overflow-wrap: anywhere; }
  dt { font-weight: 600; }
  dd { margin: 0 0 .5rem; }
  svg { display: block; margin: 1.5rem auto .5rem; }
  a:focus-visible { outline: 3px solid; outline-offset: 2px; }`;

/** @param script the text of the page's only script, null for none */
function headersWith(script: string | null): Page["headers"] {
  const policy = [
    "default-src 'none'",
    `style-src 'sha256-${hash("sha256", STYLE, "base64")}'`,
    ...(script === null ? [] : [`script-src 'sha256-${hash("sha256", script, "base64")}'`]),
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return { ...HEADERS, "content-security-policy": policy.join("; ") };
}

const HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

const PLAIN_HEADERS = headersWith(null);

/** A script that pages share; its hash is taken once. */
export interface Script {
  readonly text: string;
  readonly headers: Page["headers"];
}

export function prepareScript(text: string): Script {
  return { text, headers: headersWith(text) };
}

/** @param head elements, @param body elements: escaped by whoever makes them */
export function page(title: string, head: readonly string[], body: string, script?: Script): Page {
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
${script === undefined ? "" : `<script>${script.text}</script>\n`}</body>
</html>
`;
  return { html, headers: script?.headers ?? PLAIN_HEADERS };
}

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => ESCAPES[sign] ?? sign);
}
