// Builds the classic script, the ES module and its types into the Django app's static files,
// or into the directory named on the command line.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";

const target = process.argv[2] ?? "../ws4redis/static/js";
const banner = { js: "/* ws4redis, MIT licence. Built from client/src; do not edit. */" };
const common = { bundle: true, target: "es2020", charset: "utf8", banner, legalComments: "none" };

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

// One file of types: the public ones are all in options.ts and client.ts.
const types = mkdtempSync(join(tmpdir(), "ws4redis-types-"));
try {
  const flags = ["--declaration", "--emitDeclarationOnly", "--outDir", types, "--rootDir", "src"];
  execFileSync("node_modules/.bin/tsc", ["-p", "tsconfig.build.json", ...flags]);
  const read = (name) =>
    readFileSync(join(types, `${name}.d.ts`), "utf8")
      .split("\n")
      .filter((line) => !/^(import|export) .*from/.test(line))
      .join("\n");
  writeFileSync(
    join(target, "ws4redis.d.mts"),
    `${banner.js}\n${read("options")}${read("client")}`,
  );
} finally {
  rmSync(types, { recursive: true });
}
