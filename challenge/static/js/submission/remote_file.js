/**
 * A stored archive that reads like a File: `slice` asks the server for that range alone.
 * @implements {ByteSource}
 */
export class RemoteFile {
  /**
   * @param {string} url
   * @param {number} size in bytes
   */
  constructor(url, size) {
    this.url = url;
    this.size = size;
  }

  /**
   * @param {number} from
   * @param {number} to
   * @returns {ByteRange}
   */
  slice(from, to) {
    const last = Math.min(to, this.size) - 1;
    const load = async () => {
      const answer = await fetch(this.url, { headers: { Range: `bytes=${from}-${last}` } });
      if (answer.status !== 206) throw new Error(`the archive answers ${answer.status}`);
      return answer.arrayBuffer();
    };
    return { arrayBuffer: load };
  }
}
