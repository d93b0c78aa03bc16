import { expect, test } from "vitest";
import { BUCKET_PX, Camera, zooms } from "../../../src/heat/camera";

const pace = { tick: 500, stored: 1_000 };

function camera(): Camera {
  const made = new Camera(pace, 4);
  made.width = 1_000;
  made.height = 600;
  made.tick(1_000_000);
  made.see(6_400);
  return made;
}

test("each step outward shows more time, and no column is thinner than two pixels", () => {
  for (const pace of [
    { tick: 500, stored: 1_000 },
    { tick: 100, stored: 100 },
    { tick: 1_000, stored: 60_000 },
  ]) {
    const found = zooms(pace);
    for (const [at, zoom] of found.entries()) {
      expect(zoom.columnPx).toBeGreaterThanOrEqual(2);
      expect(zoom.period === pace.tick || zoom.period % pace.stored === 0).toBe(true);
      const former = found[at - 1];
      if (former) expect(zoom.period / zoom.columnPx).toBeGreaterThan(former.period / former.columnPx);
    }
  }
});

test("a row is a whole pixel high or more, however many buckets it holds", () => {
  const found = camera();
  for (let at = 0; at < 40; at++) {
    expect(found.rowPx).toBeGreaterThanOrEqual(1);
    expect(Number.isInteger(found.rowPx)).toBe(true);
    expect(Number.isInteger(found.step)).toBe(true);
    found.zoomPrice(-1, 0);
  }
  expect(found.bucketPx).toBe(BUCKET_PX[0]);
});

test("places and what lies there are each other's inverse", () => {
  const found = camera();
  expect(found.timeAt(found.xOf(990_000))).toBeCloseTo(990_000);
  expect(found.bucketAt(found.yOf(6_410))).toBeCloseTo(6_410);
  expect(found.xOf(1_000_000)).toBe(1_000);
  expect(found.yOf(6_400)).toBe(300);
});

test("live moves on by whole pixels: 500 ms are 4 of them", () => {
  const found = camera();
  expect(found.tick(1_000_050)).toBe(false);
  expect(found.tick(1_000_125)).toBe(true);
  expect(found.xOf(1_000_125)).toBe(1_000);
});

test("panned back it stands still; panned to the newest it follows again", () => {
  const found = camera();
  found.panTime(-100);
  expect(found.isLive).toBe(false);
  const edge = found.edge;
  expect(found.tick(2_000_000)).toBe(false);
  expect(found.edge).toBe(edge);
  found.panTime(1_000_000);
  expect(found.isLive).toBe(true);
});

test("zooming holds what lies under the pointer", () => {
  const found = camera();
  found.panTime(-100);
  const time = found.timeAt(250);
  expect(found.zoomTime(-1, 250)).toBe(true);
  expect(Math.abs(found.timeAt(250) - time)).toBeLessThanOrEqual(found.msPerPx);
  found.panPrice(60);
  const bucket = found.bucketAt(100);
  found.zoomPrice(1, 100);
  expect(Math.abs(found.bucketAt(100) - bucket)).toBeLessThanOrEqual(1);
});

test("small moves of the price leave the picture, large ones and tenfold jumps take it along", () => {
  const found = camera();
  expect(found.see(6_410)).toBe(false);
  expect(found.middle).toBe(6_400);
  expect(found.see(6_450)).toBe(true);
  expect(found.middle).toBe(6_450);
  expect(found.see(64_500)).toBe(true);
  expect(found.yOf(64_500)).toBe(300);
  found.panPrice(12);
  expect(found.see(6_450)).toBe(false);
  found.home();
  expect(found.see(6_450)).toBe(true);
});

test("a range is shown whole, as near as it fits", () => {
  const found = camera();
  for (const minutes of [1, 7, 60, 24 * 60]) {
    const until = 1_000_000_000;
    found.show(until - minutes * 60_000, until);
    expect(found.start).toBeLessThanOrEqual(until - minutes * 60_000 + found.msPerPx);
    expect(found.edge).toBe(until);
    const nearer = found.levels[found.level - 1];
    if (nearer) expect(((minutes * 60_000) / nearer.period) * nearer.columnPx).toBeGreaterThan(1_000);
  }
});

test("a range that is too long shows its end, at the furthest zoom", () => {
  const found = camera();
  found.show(0, 1e12);
  expect(found.level).toBe(found.levels.length - 1);
});

test("so many buckets as are asked for fit", () => {
  const found = camera();
  found.fit(110);
  expect(110 * found.bucketPx).toBeLessThanOrEqual(600);
  expect(found.bucketPx).toBe(4);
  found.fit(1e9);
  expect(found.bucketPx).toBe(BUCKET_PX[0]);
});
