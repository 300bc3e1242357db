// Says that the files of a folder are CommonJS, where the package around it is not. The last step of the build.
import { writeFileSync } from "node:fs";
import { join } from "node:path";

writeFileSync(join(process.argv[2], "package.json"), `${JSON.stringify({ type: "commonjs" })}\n`);
