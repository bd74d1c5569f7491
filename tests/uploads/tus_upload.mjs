// Uploads a file with tus-js-client: node tus_upload.mjs FOLDER_OF_MODULES URL TOKEN FILE
// Prints the upload's address. Run it again with its address to resume after a kill.
import { createReadStream, statSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, url, token, file, known] = process.argv.slice(2);
const tus = createRequire(`${modules}/package.json`)("tus-js-client");

const upload = new tus.Upload(createReadStream(file), {
  endpoint: `${url}/api/v1/uploads`,
  uploadUrl: known || null,
  uploadSize: statSync(file).size,
  chunkSize: 2 * 1024 * 1024,
  retryDelays: [0, 100, 300, 500, 1000, 2000],
  headers: { Authorization: `Bearer ${token}` },
  metadata: { filename: "predictions.zip" },
  onError: (error) => {
    console.error(String(error));
    process.exit(1);
  },
  onUploadUrlAvailable: () => console.log(upload.url),
  onSuccess: () => process.exit(0),
});
upload.start();
