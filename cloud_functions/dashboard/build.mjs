// Bundle the page into dist/: index.html, one script and one style sheet with a hash of their content in the name.
// `node build.mjs --tests` bundles the unit tests into node_modules/.tests/ for Node's test runner.
import {build} from "esbuild";
import {mkdir, readFile, readdir, rm, writeFile} from "node:fs/promises";
import {gzipSync} from "node:zlib";

const MAX_GZIP_BYTES = 64_000;
/** @type {import("esbuild").BuildOptions} */
const common = {bundle: true, target: "es2022", jsx: "automatic", jsxImportSource: "preact", logLevel: "warning"};

async function buildTests() {
  await rm("node_modules/.tests", {recursive: true, force: true});
  const files = (await readdir("tests")).filter((name) => name.endsWith(".test.ts"));
  await build({...common, entryPoints: files.map((name) => `tests/${name}`), outdir: "node_modules/.tests", format: "esm",
    platform: "node", outExtension: {".js": ".mjs"}});
}

async function buildPage() {
  await rm("dist", {recursive: true, force: true});
  await mkdir("dist", {recursive: true});
  const result = await build({...common, entryPoints: {app: "src/main.tsx"}, outdir: "dist", format: "esm",
    minify: true, metafile: true, entryNames: "[name]-[hash]", legalComments: "linked"});
  const names = Object.keys(result.metafile?.outputs ?? {}).map((path) => path.replace(/^dist\//, ""));
  const script = names.find((name) => name.endsWith(".js"));
  const style = names.find((name) => name.endsWith(".css"));
  if (script === undefined || style === undefined) throw new Error(`the bundle has no script or no style: ${names}`);
  const html = (await readFile("src/index.html", "utf8")).replace("{script}", script).replace("{style}", style);
  await writeFile("dist/index.html", html);
  await writeFile("dist/favicon.svg", await readFile("src/favicon.svg"));
  let total = 0;
  for (const name of ["index.html", script, style]) total += gzipSync(await readFile(`dist/${name}`)).length;
  console.log(`dist: ${total} bytes with gzip`);
  if (total > MAX_GZIP_BYTES) throw new Error(`the page has ${total} bytes with gzip, more than ${MAX_GZIP_BYTES}`);
}

await (process.argv.includes("--tests") ? buildTests() : buildPage());
