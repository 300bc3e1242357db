import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { inflateSync } from "node:zlib";
import { encode } from "uqr";
import { drawQr, drawSvg } from "./qr.ts";

const TEXT = "https://go.shop.example/hello";
const { data, size } = encode(TEXT, { ecc: "M", border: 4 });

describe("a QR code is drawn as its modules are", () => {
  test("in the SVG", () => {
    const svg = drawSvg(TEXT, 300);
    assert.match(svg, /^<svg [^>]*width="300" height="300"/);
    const dark = data.map((line) => line.map(() => false));
    for (const [, x, y, length] of svg.matchAll(/M(\d+) (\d+)h(\d+)v1h-\d+z/g)) {
      dark[Number(y)]?.fill(true, Number(x), Number(x) + Number(length));
    }
    assert.deepEqual(dark, data);
  });

  for (const pixels of [64, 100, 512, 2_048]) {
    test(`in a PNG of ${pixels} pixels`, () => {
      const { content, type } = drawQr(TEXT, { format: "png", pixels });
      assert.equal(type, "image/png");
      const png = Buffer.from(content);
      assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [pixels, pixels]);
      const length = png.readUInt32BE(33);
      const raw = inflateSync(png.subarray(41, 41 + length));
      const stride = 1 + Math.ceil(pixels / 8);
      assert.equal(raw.length, stride * pixels);
      const scale = Math.floor(pixels / size);
      const margin = Math.floor((pixels - size * scale) / 2);
      const isDark = (x: number, y: number) => (((raw[y * stride + 1 + (x >> 3)] ?? 0) >> (7 - (x & 7))) & 1) === 0;
      const drawn = data.map((line, y) =>
        line.map((_, x) => isDark(margin + x * scale + (scale >> 1), margin + y * scale + (scale >> 1))),
      );
      assert.deepEqual(drawn, data);
      assert.equal(isDark(0, 0) || isDark(pixels - 1, pixels - 1), false);
    });
  }

  test("of the longest address there can be, in the smallest picture", () => {
    const long = `https://${"a".repeat(253)}/${"b".repeat(64)}`;
    const png = Buffer.from(drawQr(long, { format: "png", pixels: 64 }).content);
    // A module has a pixel at least, even where that makes the picture larger.
    assert.ok(png.readUInt32BE(16) >= 64 && png.readUInt32BE(16) < 200);
  });
});
