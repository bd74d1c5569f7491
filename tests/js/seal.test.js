import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import {
  fingerprint, fromBase64, isSealed, sealFile, SEGMENT_BYTES,
} from "../../challenge/static/js/labels/seal.js";

const VECTORS = JSON.parse(await readFile(
  new URL("../scoring/truth/sealed_vectors.json", import.meta.url), "utf8"));
const CURVE = { name: "ECDH", namedCurve: "P-256" };

/** @param {number} size */
const content = (size) => Uint8Array.from({ length: size }, (_, at) => ((7 * (at % 251)) % 251));

async function givenSecrets() {
  const open = { ...VECTORS.ephemeral_jwk, d: undefined };
  return {
    ephemeral: {
      privateKey: await crypto.subtle.importKey("jwk", VECTORS.ephemeral_jwk, CURVE, false,
        ["deriveBits"]),
      publicKey: await crypto.subtle.importKey("jwk", open, CURVE, true, []),
    },
    contentKey: fromBase64(VECTORS.content_key),
    prefix: fromBase64(VECTORS.prefix),
  };
}

/** @param {{size_bytes: number, uploader: string, recipients: string[]}} known */
const purposeOf = ({ uploader, recipients }) => ({
  challenge: VECTORS.challenge, phase: VECTORS.phase, uploader,
  recipients: recipients.map(fromBase64),
});

test("a file is sealed to the bytes that Python knows", async () => {
  for (const known of VECTORS.cases) {
    const file = new Blob([content(known.size_bytes)]);
    const sealed = await sealFile(file, purposeOf(known), await givenSecrets());
    assert.equal(sealed.size, known.sealed_bytes);
    const whole = await sealed.read(0, sealed.size);
    assert.equal(createHash("sha256").update(whole).digest("hex"), known.sha256);
    assert.ok(await isSealed(new Blob([whole])));
  }
});

test("any cut of the ranges gives the same bytes, and reads no more than it needs", async () => {
  const known = VECTORS.cases.find(({ size_bytes }) => size_bytes > 2 * SEGMENT_BYTES);
  const file = new Blob([content(known.size_bytes)]);
  const sealed = await sealFile(file, purposeOf(known), await givenSecrets());
  for (const chunk of [1_000_003, SEGMENT_BYTES, SEGMENT_BYTES + 16, 5 * SEGMENT_BYTES]) {
    const hash = createHash("sha256");
    for (let at = 0; at < sealed.size; at += chunk) hash.update(await sealed.read(at, at + chunk));
    assert.equal(hash.digest("hex"), known.sha256);
  }
  let asked = 0;
  const segment = sealed.segment.bind(sealed);
  sealed.segment = (number) => {
    asked += 1;
    return segment(number);
  };
  await sealed.read(sealed.size - 10, sealed.size);
  assert.equal(asked, 1);
});

test("no two files are sealed alike, and a key has its fingerprint", async () => {
  const [known] = VECTORS.cases;
  const file = new Blob(["canary"]);
  const [first, second] = [await sealFile(file, purposeOf(known)),
    await sealFile(file, purposeOf(known))];
  assert.notDeepEqual(await first.read(0, first.size), await second.read(0, second.size));
  const key = fromBase64(known.recipients[0]);
  assert.equal(await fingerprint(key), createHash("sha256").update(key).digest("hex"));
});
