// Builds the classic script, the ES module and its types into the Django app's static files,
// or into the directory named on the command line.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

const target = process.argv[2] ?? "../ws4redis/static/js";
const banner = { js: "/* ws4redis, MIT licence. Built from client/src; do not edit. */" };
const form = { target: "es2020", charset: "utf8", banner, legalComments: "none" };
// Pages load these; who wants to read them reads the sources.
const common = { ...form, bundle: true, minify: true };

await build({
  ...common,
  entryPoints: ["src/classic.ts"],
  format: "iife",
  outfile: join(target, "ws4redis.js"),
});
await build({
  ...common,
  entryPoints: ["src/index.ts"],
  format: "esm",
  outfile: join(target, "ws4redis.mjs"),
});

// One file of types: all public ones are in these modules.
const publicModules = ["options", "page", "client", "subscription", "socket"];
const types = mkdtempSync(join(tmpdir(), "ws4redis-types-"));
try {
  const flags = ["--declaration", "--emitDeclarationOnly", "--stripInternal"];
  const places = ["-p", "tsconfig.build.json", "--outDir", types, "--rootDir", "src"];
  execFileSync("node_modules/.bin/tsc", [...places, ...flags]);
  const read = (name) =>
    readFileSync(join(types, `${name}.d.ts`), "utf8")
      .replace(/^(import|export) [^;]*? from .*\n/gm, "");
  writeFileSync(
    join(target, "ws4redis.d.mts"),
    `${banner.js}\n${publicModules.map(read).join("")}`,
  );
} finally {
  rmSync(types, { recursive: true });
}
