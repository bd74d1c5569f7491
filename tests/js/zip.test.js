import assert from "node:assert/strict";
import { test } from "node:test";

import { readDirectory, readMember } from "../../challenge/static/js/archive/zip.js";
import { checkHeaders } from "../../challenge/static/js/archive/zip_headers.js";
import { makeZip, READER } from "./make_files.js";

const LIMITS = { maxEntries: 10, data: { example: "PRED_000001.tif", reader: READER } };
const BACKSLASH = "holds a backslash, as Compress-Archive of Windows PowerShell 5.1 and programs of .NET "
  + "before 4.6.1 write it in place of a slash";
const TEXT = new TextEncoder().encode("pixels");

/** @param {Blob} file */
const refusal = async (file) => {
  try {
    await readDirectory(file, LIMITS);
  } catch (error) {
    return [error.code, error.params];
  }
  return null;
};

test("members come in the directory's order, and their bytes can be read", async () => {
  const file = makeZip([{ name: "b.tif", data: TEXT }, { name: "a/" }, { name: "a/c.tif" }]);
  const { members, problems } = await readDirectory(file, LIMITS);
  assert.deepEqual(members.map(({ name }) => name), ["b.tif", "a/", "a/c.tif"]);
  assert.deepEqual(members.map(({ folder }) => folder), [false, true, false]);
  assert.deepEqual([problems, members.map(({ sound }) => sound)], [[], [true, true, true]]);
  assert.deepEqual(await readMember(file, members[0]), TEXT);
});

test("a file that is no zip is refused with what it seems to be", async () => {
  const sevenZip = new Blob([new Uint8Array([0x37, 0x7a, 0xbc, 0xaf]), new Uint8Array(60)]);
  assert.deepEqual(await refusal(sevenZip), ["archive-not-zip", { format: "7z" }]);
  assert.deepEqual(await refusal(new Blob(["x".repeat(60)])), ["archive-not-zip", { format: "text" }]);
  assert.deepEqual(await refusal(new Blob([])), ["archive-empty-file", {}]);
});

test("a damaged zip is refused with what is wrong", async () => {
  const sound = makeZip([{ name: "a.tif", data: TEXT }]);
  assert.deepEqual(await refusal(sound.slice(0, sound.size - 4)), ["archive-truncated", {}]);
  assert.deepEqual(await refusal(new Blob([sound, "end"])), ["archive-suffix-bytes", { count: 3 }]);
  const padded = new Blob([sound, new Uint8Array(99)]);
  assert.deepEqual(await refusal(padded), ["archive-zero-padding", { count: 99, size_bytes: sound.size }]);
  assert.deepEqual(await refusal(makeZip([])), ["archive-no-entries", {}]);
  const many = makeZip(Array.from({ length: 11 }, (_, at) => ({ name: `${at}.tif` })));
  assert.deepEqual(await refusal(many), ["archive-too-many-entries", { count: 11, limit: 10 }]);
});

test("headers that say otherwise than the directory are found", async () => {
  const bytes = new Uint8Array(await makeZip([{ name: "a.tif", data: TEXT }, { name: "b.tif" }]).arrayBuffer());
  bytes[8] = 12; // the first header's method
  const directory = await readDirectory(new Blob([bytes]), LIMITS);
  await checkHeaders(new Blob([bytes]), directory);
  assert.deepEqual(directory.problems, [
    { code: "member-header-mismatch", file: "a.tif", params: { what: "flags or method" } },
  ]);
  assert.deepEqual(directory.members.map(({ sound }) => sound), [false, true]);
});

for (const [what, member, fault] of [
  ["a climbing name", { name: "../a.tif" }, ["member-name-unsafe", { what: "leaves the archive with '..'" }]],
  ["a backslash", { name: "a\\b.tif" }, ["member-name-unsafe", { what: BACKSLASH }]],
  ["a drive letter", { name: "C:a.tif" }, ["member-name-unsafe", { what: "holds a drive letter" }]],
  ["an absolute name", { name: "/a.tif" }, ["member-name-unsafe", { what: "is absolute" }]],
  ["a control character", { name: "a\n.tif" }, ["member-name-unsafe", { what: "holds a NUL or control character" }]],
  ["an encrypted member", { name: "a.tif", flags: 1 }, ["member-encrypted", {}]],
  ["bzip2", { name: "a.tif", method: 12 }, ["member-method", { method: "bzip2" }]],
  ["a link", { name: "a.tif", mode: 0o120777 }, ["member-not-regular", { kind: "a symbolic link" }]],
  ["a device", { name: "a.tif", mode: 0o020666 }, ["member-not-regular", { kind: "a device, socket or pipe" }]],
  ["a folder with content", { name: "a/", data: TEXT }, ["member-not-regular", { kind: "a folder with content" }]],
]) {
  test(`${what} is a fault of its member`, async () => {
    const { problems: [{ code, params: { example, ...params } }] } = await readDirectory(makeZip([member]), LIMITS);
    assert.deepEqual([code, params], fault);
    if (code === "member-name-unsafe") assert.equal(example, "PRED_000001.tif");
  });
}
