// Names the format of a file by its first bytes, for messages about files of a wrong format.

const LINE_CHARACTERS = [0x09, 0x0a, 0x0d];
const SPACES_AND_MARK = new Set([0x20, ...LINE_CHARACTERS, 0xef, 0xbb, 0xbf]);

/**
 * What a file seems to be; "unknown" where nothing tells.
 * @param {Uint8Array} head its first 512 bytes
 * @param {CheckData["reader"]["formats"]} formats
 */
export function nameFormat(head, formats) {
  const found = formats.find(([at, magic]) => (
    [...magic].every((character, index) => head[at + index] === character.charCodeAt(0))));
  if (found) return found[2];
  const first = head.findIndex((byte) => !SPACES_AND_MARK.has(byte));
  if (first >= 0 && head[first] === "<".charCodeAt(0)) return "XML or HTML";
  const isText = head.every((byte) => (byte >= 32 && byte < 127) || LINE_CHARACTERS.includes(byte));
  return head.length && isText ? "text" : "unknown";
}
