import { readFileSync } from "node:fs";

/** The tests run in build/test of the library. */
const README = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

function blocks(language: string): string[] {
  return [...README.matchAll(/^```([a-z]+)\n(.*?)^```$/gms)].filter(([, found]) => found === language).map(([, , code = ""]) => code);
}

/** Examples of README.md by language, in their order. */
export const README_EXAMPLES = { js: blocks("js"), ts: blocks("ts"), html: blocks("html") };
