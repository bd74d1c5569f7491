// The names of a zip's members: their text, and whether a reader could be misled by them.
import { crc32 } from "./checksums.js";

const MAX_NAME_BYTES = 1024;
const UTF8_FLAG = 0x0800;
const BACKSLASH_BYTE = 0x5c;
/** The upper half of code page 437. */
const CODE_PAGE_437 = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟"
  + "╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";
const BACKSLASH = "holds a backslash, as Compress-Archive of Windows PowerShell 5.1 and programs of .NET "
  + "before 4.6.1 write it in place of a slash";
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lenientUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** @param {Uint8Array} bytes */
function decodeUtf8(bytes) {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return null;
  }
}

/** @param {Uint8Array} bytes */
const decodeCodePage = (bytes) => Array.from(
  bytes, (byte) => (byte < 128 ? String.fromCharCode(byte) : CODE_PAGE_437[byte - 128]),
).join("");

/** @param {Uint8Array} bytes */
const isAscii = (bytes) => bytes.every((byte) => byte < 128);

/**
 * Whether the name holds a backslash that is not half of a letter: in the code pages 932, 936 and
 * 950 the byte 0x5C behind one of 0x81 to 0xFE belongs to a letter.
 * @param {string} name
 * @param {Uint8Array} raw
 * @param {boolean} isCodePage whether the name is these bytes in a code page
 */
function hasBackslash(name, raw, isCodePage) {
  if (!name.includes("\\")) return false;
  if (!isCodePage) return true;
  return raw.some((byte, at) => (
    byte === BACKSLASH_BYTE && !(at > 0 && raw[at - 1] >= 0x81 && raw[at - 1] <= 0xfe)));
}

/**
 * Why a path is not safe, in the catalogue's words; null where it is.
 * @param {string} name
 * @param {boolean} backslash
 */
function describeUnsafePath(name, backslash) {
  // macOS puts a file called "Icon\r" into folders; it is ignored, not refused
  // eslint-disable-next-line no-control-regex -- control characters are what is searched for
  if (/[\x00-\x1f\x7f]/.test(name) && name.split("/").pop() !== "Icon\r") {
    return "holds a NUL or control character";
  }
  if (backslash) return BACKSLASH;
  if (name.startsWith("/")) return "is absolute";
  if (/^[A-Za-z]:/.test(name)) return "holds a drive letter";
  return name.split("/").includes("..") ? "leaves the archive with '..'" : null;
}

/**
 * The name that is meant, and why it may not be used, in the catalogue's words (null: it may).
 * @param {Uint8Array} raw
 * @param {number} flags
 * @param {Uint8Array | undefined} unicodeField the Unicode path field (APPNOTE 4.6.9)
 * @returns {{name: string, what: string | null}}
 */
export function readName(raw, flags, unicodeField) {
  const hasFlag = (flags & UTF8_FLAG) !== 0;
  const decoded = decodeUtf8(raw);
  let name = decoded ?? (hasFlag ? lenientUtf8.decode(raw) : decodeCodePage(raw));
  if (!raw.length) return { name, what: "is empty" };
  if (raw.length > MAX_NAME_BYTES) return { name, what: "is too long" };
  if (hasFlag && decoded === null) return { name, what: "is not valid UTF-8" };
  let isCodePage = decoded === null;
  if (unicodeField?.[0] === 1) {
    const view = new DataView(unicodeField.buffer, unicodeField.byteOffset, unicodeField.byteLength);
    const meant = decodeUtf8(unicodeField.subarray(5));
    if (meant === null) return { name, what: "is not valid UTF-8" };
    if (meant !== name) {
      const isChecked = unicodeField.length >= 5 && view.getUint32(1, true) === crc32(raw);
      if (isAscii(raw) || hasFlag || !isChecked) return { name, what: "is given twice, differently" };
      name = meant;
      isCodePage = false;
    }
  }
  return { name, what: describeUnsafePath(name, hasBackslash(name, raw, isCodePage)) };
}
