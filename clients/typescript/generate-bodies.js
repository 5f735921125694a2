// generate-bodies.js FOLDER: prints src/bodies.ts, made of the JSON Schemas in the folder. bodies.sh runs it.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { compile } from "json-schema-to-typescript";

const HEADER = `// Made of docs/schemas by bodies.sh: do not edit. Producers choose what is in an event, so any field may be missing or \`null\`, and
// gateways do not check that it has its documented type.

import type { JsonValue } from "./json.js";
`;
const STYLE = { printWidth: 130 };

/** Returns the schema of a member without what its documented type does not say: that gateways let other values through. */
function documented({ anyOf: [type] = [{}], ...about }) {
  const schema = { ...about, ...type };
  return { ...schema, tsType: typeOf(schema) };
}

/** Returns the type of what the generator would make mutable, or an object where it is any JSON. */
function typeOf({ type, items }) {
  if (type === undefined) return "JsonValue";
  const orNull = type.includes("null") ? " | null" : "";
  if (type.includes("object")) return `Readonly<Record<string, JsonValue>>${orNull}`;
  if (type.includes("array")) return `readonly ${items.type}[]${orNull}`;
  return undefined;
}

async function interfaceOf(folder, slug, suffix) {
  const { title, description, properties } = JSON.parse(await readFile(join(folder, `${slug}.json`), "utf8"));
  const members = Object.entries(properties).map(([name, member]) => [name, documented(member)]);
  const schema = { type: "object", description, properties: Object.fromEntries(members), additionalProperties: false };
  const code = await compile(schema, title + suffix, { bannerComment: "", style: STYLE });
  return code.replaceAll(/^ {2}(?=\w+\?:)/gm, "  readonly ");
}

const [folder] = process.argv.slice(2);
const bodies = ["connectivity", "datapoint", "datapointack", "location", "registration"];
const interfaces = [...bodies.map((slug) => interfaceOf(folder, slug, "Body")), interfaceOf(folder, "metadata", "")];
process.stdout.write([HEADER, ...(await Promise.all(interfaces))].join("\n"));
