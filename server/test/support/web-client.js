// A small client for pages, which makes the calls that LinkMe's web SDK makes, with its headers and bodies. Served to a
// browser by server/test/flows/browser.test.ts; it runs there and nowhere else.

/** The token in the query of an address, else the one in its fragment, and the address without it. */
function takeCid(href) {
  const url = new URL(href);
  const fragment = new URLSearchParams(url.hash.replace(/^#/, ""));
  const cid = url.searchParams.get("cid") ?? fragment.get("cid");
  url.searchParams.delete("cid");
  if (fragment.has("cid")) {
    fragment.delete("cid");
    url.hash = fragment.toString();
  }
  return { cid, rest: url.href };
}

function describeDevice() {
  const { language, languages, userAgent } = navigator;
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  const size = { width: screen.width, height: screen.height, pixelRatio: devicePixelRatio };
  return {
    ...{ platform: "web", locale: language, preferredLocales: [...languages], timezone: timeZone, userAgent },
    screen: size,
  };
}

/** @param config `baseUrl`, `appId`, `appKey` */
function createClient({ baseUrl, appId, appKey }) {
  const device = describeDevice();
  const headers = { Accept: "application/json", "x-app-id": appId, "x-api-key": appKey };

  async function call(path, init) {
    const response = await fetch(`${baseUrl}/api${path}`, init);
    const text = await response.text();
    return { status: response.status, body: text === "" ? null : JSON.parse(text) };
  }

  const post = (path, body) =>
    call(path, {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });

  return {
    /** Claims the token of the page's own address, and takes it out of the address bar. */
    async resolveFromUrl() {
      const { cid, rest } = takeCid(location.href);
      if (cid === null) return null;
      history.replaceState(history.state, "", rest);
      const asked = { ...headers, "x-linkme-device": JSON.stringify(device) };
      return call(`/deeplink?cid=${encodeURIComponent(cid)}`, { method: "GET", headers: asked });
    },
    resolveUrl: (url) => post("/deeplink/resolve-url", { url, device }),
    claimDeferred: () => post("/deferred/claim", { platform: "web", device }),
    track: (type, detail) =>
      post("/app-events", { type, platform: "web", timestamp: Math.floor(Date.now() / 1000), detail }),
  };
}

window.createClient = createClient;
