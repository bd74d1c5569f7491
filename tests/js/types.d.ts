/**
 * Types that several scripts of challenge/static/js share. Read by `tsc` alone: the site serves
 * the scripts as they are written.
 */

/** The vendored tus client, a plain script that the submit page loads first. */
declare const tus: typeof import("tus-js-client");
/** Node's type, which tus' own types name for its use outside of browsers. */
type Buffer = never;
type UploadError = import("tus-js-client").DetailedError;
type LeaderboardTable = import("../../challenge/static/js/leaderboard/table.js").LeaderboardTable;

/** Bytes that are read by ranges: a chosen file, or a stored archive over HTTP. */
interface ByteSource {
  readonly size: number;
  slice(from: number, to: number): ByteRange;
}
interface ByteRange {
  arrayBuffer(): Promise<ArrayBuffer>;
}

/** A file that was chosen or dropped, with its path from there on; `/` between folders. */
interface ChosenFile {
  path: string;
  file: File;
}

/** A code of the server's catalogue (scoring.engine.problems), and what its text names. */
interface Problem {
  code: string;
  file?: string;
  params?: ProblemParameters;
}
type ProblemParameters = Record<string, string | number>;

/** A member as a zip's central directory lists it; sizes and places in bytes. */
interface ZipMember {
  name: string;
  /** the name's bytes */
  raw: Uint8Array;
  flags: number;
  method: number;
  crc: number;
  packed: number;
  size: number;
  /** where its own header begins */
  offset: number;
  /** where its data begin; null as long as its header has not been read */
  dataAt: number | null;
  folder: boolean;
  /** false where a problem was found: it is not read */
  sound: boolean;
}

/** Members in the order of their data, what is wrong with single ones, where the directory begins. */
interface ZipDirectory {
  members: ZipMember[];
  problems: Problem[];
  offset: number;
}

/** Where the pixels of a checked TIFF are; blocks are strips or tiles. */
interface TiffLayout {
  codec: Codec;
  /** whether values are differences to their left neighbours */
  predicted: boolean;
  tiled: boolean;
  blockHeight: number;
  blockWidth: number;
  offsets: number[];
  sizes: number[];
  /** an orientation or inverted grey, ignored: stored values count */
  hasDisplayHint: boolean;
}

/** A prediction: height × width values, row by row; null where the codec is beyond the browser. */
interface Raster {
  pixels: Uint8Array | null;
  codec: string;
  hasDisplayHint: boolean;
}

type Codec = "none" | "lzw" | "deflate" | "packbits" | "zstd";

/** What `check.json` of a phase holds (challenge.web, the view `check_data`). */
interface CheckData {
  ids: string[];
  /** a regular expression of Python for a file's name without its suffix */
  pattern: string;
  example: string;
  height_px: number;
  width_px: number;
  /** the phase's limit of the file, the task's of what it inflates to and of a member */
  limits: { archive_bytes: number; inflated_bytes: number; member_bytes: number };
  /** the values of masks; empty where masks do not count from another number than predictions */
  label_values: number[];
  elsewhere: { name: string; id_ranges: [string, string][] }[];
  classes: TaskClass[];
  /** names of formats, methods and codecs (scoring.engine.archive.name_tables) */
  reader: {
    formats: [at: number, firstBytes: string, name: string][];
    methods: Record<number, string>;
    codecs: Record<number, string>;
    photometrics: Record<number, string>;
    sample_formats: Record<number, string>;
  };
  texts: Record<string, string>;
  texts_of_one: Record<string, string>;
  phrases: Record<string, string>;
  colon: string;
}
interface TaskClass {
  id: number;
  name: string;
  color: string;
  scored: boolean;
  published: number | null;
}

/** What the browser found in an archive. */
interface CheckReport {
  problems: Problem[];
  /** problems beyond those that are listed */
  more: number;
  notes: Problem[];
  /** patches */
  found: number;
  expected: number;
  /** predictions to draw: height × width values, row by row */
  samples: { id: string; pixels: Uint8Array }[];
  /** the share of each of 256 values in the sample; null where nothing could be read */
  shares: number[] | null;
  /** rasters that were looked into */
  looked: number;
  /** which of those could not be checked here */
  notChecked: Problem | null;
}

/** What seems odd although it is allowed. */
type Hint =
  | { kind: "many-other"; share: number }
  | { kind: "never-predicted"; names: string[] };

/** What `leaderboard.json` of a phase holds, as far as the page uses it; values as fractions. */
interface LeaderboardData {
  domains: { id: string; name: string }[];
  lines: {
    line: string | null;
    kind: string;
    class_ious: Record<string, number | null>;
    domain_mious: (number | null)[];
  }[];
}

/** A row by another weighting: its element where it is on this page, its value in per cent. */
interface WeightedRow {
  row?: HTMLTableRowElement;
  isTeam: boolean;
  value: number | null;
}
