// Uploads that were begun in this browser and not sent to their end.

const ASKED = 3;

/**
 * The newest unfinished upload of a phase that the server still knows; null where there is none.
 * What the server no longer knows is forgotten here as well.
 * @param {string | undefined} phase
 */
export async function findUnfinishedUpload(phase) {
  const storage = tus.defaultOptions.urlStorage;
  const uploads = await storage.findAllUploads();
  const ofPhase = uploads.filter(({ uploadUrl, metadata }) => uploadUrl && metadata?.phase === phase);
  ofPhase.sort((a, b) => Date.parse(b.creationTime) - Date.parse(a.creationTime));
  for (const { uploadUrl, urlStorageKey, metadata, size } of ofPhase.slice(0, ASKED)) {
    const headers = { "Tus-Resumable": "1.0.0" };
    const answer = await fetch(uploadUrl ?? "", { method: "HEAD", headers });
    if (answer.ok) {
      const sent = Number(answer.headers.get("Upload-Offset"));
      if (sent === size) continue; // it has arrived: the page offers it
      return { name: metadata.filename, sent, total: size ?? 0 };
    }
    await storage.removeUpload(urlStorageKey);
  }
  return null;
}
