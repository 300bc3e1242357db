// QR codes of links: SVG for pages and print, PNG for whoever asks for one. Pure; called by redirect.ts and pages.ts.
// The matrix comes from uqr; the two drawings are few lines each, and one path instead of a shape per module.
import { crc32, deflateSync } from "node:zlib";
import { encode } from "uqr";

export const QR_MIN_PIXELS = 64;
export const QR_MAX_PIXELS = 2_048;
export const QR_DEFAULT_PIXELS = 512;
/** The quiet zone that readers need, in modules. */
const BORDER = 4;
const PNG_START = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

export interface Drawing {
  readonly format: "svg" | "png";
  readonly pixels: number;
}

export interface QrImage {
  readonly type: "image/svg+xml; charset=utf-8" | "image/png";
  readonly content: string | Buffer;
}

export function drawQr(text: string, { format, pixels }: Drawing): QrImage {
  if (format === "png") return { type: "image/png", content: drawPng(text, pixels) };
  return { type: "image/svg+xml; charset=utf-8", content: drawSvg(text, pixels) };
}

export function drawSvg(text: string, pixels: number): string {
  const { data, size } = matrixOf(text);
  let path = "";
  for (const [y, line] of data.entries()) {
    for (let x = 0; x < size; x++) {
      if (!line[x]) continue;
      const from = x;
      while (line[x + 1]) x++;
      path += `M${from} ${y}h${x + 1 - from}v1h${from - x - 1}z`;
    }
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${pixels}" height="${pixels}" viewBox="0 0 ${size} ${size}" shape-rendering="crispEdges" role="img" aria-label="QR code"><path fill="#fff" d="M0 0h${size}v${size}H0z"/><path d="${path}"/></svg>`;
}

/** Grey with one bit for each pixel; every module has the same whole number of them, and the rest is border. */
function drawPng(text: string, pixels: number): Buffer {
  const { data, size } = matrixOf(text);
  const scale = Math.max(1, Math.floor(pixels / size));
  const width = Math.max(pixels, size);
  const margin = Math.floor((width - size * scale) / 2);
  const stride = 1 + Math.ceil(width / 8);
  const raw = Buffer.alloc(stride * width, 0xff);
  for (let y = 0; y < width; y++) {
    raw[y * stride] = 0;
    const line = data[Math.floor((y - margin) / scale)];
    if (line === undefined) continue;
    for (let x = margin; x < margin + size * scale; x++) {
      const at = y * stride + 1 + (x >> 3);
      if (line[Math.floor((x - margin) / scale)]) raw[at] = (raw[at] ?? 0) & ~(0x80 >> (x & 7));
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(width, 4);
  // One bit a pixel, grey, and the only methods there are.
  header.set([1, 0, 0, 0, 0], 8);
  return Buffer.concat([
    PNG_START,
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(raw)),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(type: string, content: Buffer): Buffer {
  const typed = Buffer.concat([Buffer.from(type, "latin1"), content]);
  const framed = Buffer.alloc(typed.length + 8);
  framed.writeUInt32BE(content.length, 0);
  typed.copy(framed, 4);
  framed.writeUInt32BE(crc32(typed), typed.length + 4);
  return framed;
}

function matrixOf(text: string) {
  return encode(text, { ecc: "M", border: BORDER });
}
