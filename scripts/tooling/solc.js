// Speaks the part of the native compiler's command line that forge and py-solc-x use,
// on top of the WebAssembly compiler from npm, so that no binary is downloaded.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

// The compiler installs a handler that swallows the caller's exceptions.
const listeners = process.listeners("uncaughtException");
const solc = require(path.join(__dirname, "..", "..", "node_modules", "solc"));
process.removeAllListeners("uncaughtException");
listeners.forEach((listener) => process.on("uncaughtException", listener));

function parseArguments(argv) {
  const parsed = { version: false, standardJson: false, roots: [] };
  for (let i = 0; i < argv.length; i += 1) {
    const [flag, inline] = argv[i].split(/=(.*)/s);
    const value = () => inline ?? argv[(i += 1)];
    if (flag === "--version") parsed.version = true;
    else if (flag === "--standard-json") parsed.standardJson = true;
    else if (flag === "--base-path" || flag === "--include-path") parsed.roots.push(value());
    else if (flag === "--allow-paths") value();
    else fail(`unrecognised option '${argv[i]}'`);
  }
  parsed.roots.push(process.cwd());
  return parsed;
}

function readImport(roots, name) {
  for (const root of roots) {
    const file = path.resolve(root, name);
    if (fs.existsSync(file)) return { contents: fs.readFileSync(file, "utf8") };
  }
  return { error: `File not found: ${name} (searched ${roots.join(", ")})` };
}

// ape-solidity has no metadata settings. With the metadata's hash left out, as foundry.toml
// does, the code depends on neither paths nor remappings and both tools produce the same bytes.
function withDefaults(input) {
  const settings = input.settings ?? {};
  return { ...input, settings: { ...settings, metadata: { bytecodeHash: "none", ...settings.metadata } } };
}

function compile(roots) {
  const input = withDefaults(JSON.parse(fs.readFileSync(0, "utf8")));
  return solc.compile(JSON.stringify(input), { import: (name) => readImport(roots, name) });
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

const options = parseArguments(process.argv.slice(2));
if (options.version) {
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else if (options.standardJson) {
  // No process.exit() after this: a pipe takes 64 KiB at a time and the rest would be lost.
  process.stdout.write(`${compile(options.roots)}\n`);
} else {
  fail("only --version and --standard-json are supported");
}
