// Pages on the way into an app, for a click that has been recorded: the one that copies the token before it goes on to the
// App Store, and the one with a button for browsers that open an app only when somebody taps. Pure; called by redirect.ts.
// They work without script, by plain links, and ask nobody for anything.
import type { PreparedLink } from "./link.ts";
import { escapeHtml, type Page, page, prepareScript } from "./page.ts";
import type { Beside } from "./routing.ts";

/** How long the clipboard may take after a tap. */
const COPY_WAIT_MS = 700;

/** A link with data-copy copies that before it leads on; with data-auto it is tried, and gone on, without a tap. */
const COPYING = prepareScript(`
for (const link of document.querySelectorAll("a[data-copy]")) {
  const go = () => location.assign(link.href);
  const copy = () => navigator.clipboard.writeText(link.dataset.copy);
  const late = () => new Promise((done) => setTimeout(done, ${COPY_WAIT_MS}));
  const can = Boolean(navigator.clipboard && navigator.clipboard.writeText);
  link.addEventListener("click", (event) => {
    if (!can) return;
    event.preventDefault();
    Promise.race([copy(), late()]).then(go, go);
  });
  if (link.dataset.auto === undefined) continue;
  if (can) copy().then(go, () => {});
  else go();
}
`);

/** @param address of the App Store */
export function pasteboardPage(link: PreparedLink, address: string, cid: string): Page {
  const title = link.row.og_title ?? link.app.name;
  const body = `<h1>${escapeHtml(title)}</h1>
<p>The App Store opens next. After the installation the app takes you to the right place.</p>
${anchor("Continue to the App Store", address, ` data-copy="${copyText(cid)}" data-auto`)}`;
  return page(title, [], body, COPYING);
}

/**
 * @param address opens the app
 * @param beside for who does not have it
 */
export function openPage(
  link: PreparedLink,
  address: string,
  beside: Beside,
  visit: { ios: boolean; cid: string | null },
): Page {
  const title = link.row.og_title ?? link.app.name;
  const copied = visit.ios && link.app.ios_enable_pasteboard ? visit.cid : null;
  const hint = "<p>If nothing opens, choose to open this page in your browser, in the menu of this app.</p>";
  const anchors = [anchor(`Open ${escapeHtml(link.app.name)}`, address)];
  if (beside.store !== null) {
    const extra = copied === null ? "" : ` data-copy="${copyText(copied)}"`;
    anchors.push(anchor(visit.ios ? "Download on the App Store" : "Get it on Google Play", beside.store, extra));
  }
  if (beside.web !== null) anchors.push(anchor("Continue in the browser", beside.web));
  return page(
    title,
    [],
    [`<h1>${escapeHtml(title)}</h1>`, ...anchors, hint].join("\n"),
    copied === null ? undefined : COPYING,
  );
}

/**
 * The address of an app for a browser on Android: names the package, and where to go without the app.
 * @example intentAddress("shop://open?a=1", {package_name: "com.shop", fallback: null})
 *   // "intent://open?a=1#Intent;scheme=shop;package=com.shop;end"
 */
export function intentAddress(address: string, app: { package_name: string | null; fallback: string | null }): string {
  const colon = address.indexOf(":");
  const scheme = address.slice(0, colon).toLowerCase();
  if (scheme === "intent" || scheme === "android-app") return address;
  const named = app.package_name === null ? "" : `package=${encodeURIComponent(app.package_name)};`;
  const otherwise = app.fallback === null ? "" : `S.browser_fallback_url=${encodeURIComponent(app.fallback)};`;
  return `intent:${address.slice(colon + 1)}#Intent;scheme=${scheme};${named}${otherwise}end`;
}

/** The form that the SDKs look for, whatever host the link was on. */
function copyText(cid: string): string {
  return `linkme:cid=${cid}`;
}

function anchor(label: string, address: string, attributes = ""): string {
  return `<a href="${escapeHtml(address)}" rel="noopener noreferrer"${attributes}>${label}</a>`;
}
