// lint.js FOLDER: checks asyncapi.json and openapi.json of a folder by the validators of their formats.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Parser } from "@asyncapi/parser";
import { createConfig, lint } from "@redocly/openapi-core";

const folder = process.argv[2];
// What is worse than a hint, such as that there is a newer version of the format.
const WARNING = 1;

async function asyncapi() {
  const text = readFileSync(join(folder, "asyncapi.json"), "utf8");
  const { diagnostics } = await new Parser().parse(text);
  return diagnostics
    .filter(({ severity }) => severity <= WARNING)
    .map(({ code, message, path }) => `asyncapi.json: /${path.join("/")}: ${message} (${code})`);
}

async function openapi() {
  const rules = {
    // It does not follow x-item-schema; what nothing refers to is left out when the document is made.
    "no-unused-components": "off",
    "no-invalid-media-type-examples": "error",
    "no-invalid-parameter-examples": "error",
    "no-invalid-schema-examples": "error",
  };
  const config = await createConfig({ extends: ["recommended-strict"], rules });
  const problems = await lint({ ref: join(folder, "openapi.json"), config });
  return problems.map(({ ruleId, message, location }) => `openapi.json: ${location[0]?.pointer}: ${message} (${ruleId})`);
}

const problems = [...(await asyncapi()), ...(await openapi())];
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
