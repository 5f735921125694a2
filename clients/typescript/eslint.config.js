import tseslint from "typescript-eslint";

function strict(project, folders, rules = {}) {
  return {
    files: folders.map((folder) => `${folder}/**/*.ts`),
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { project, tsconfigRootDir: import.meta.dirname } },
    rules: { "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }], ...rules },
  };
}

export default tseslint.config(
  { ignores: ["dist", "build"] },
  strict("tsconfig.json", ["src"]),
  strict("tsconfig.tests.json", ["test", "examples"], {
    // The test runner awaits what test() and describe() return.
    "@typescript-eslint/no-floating-promises": [
      "error",
      { allowForKnownSafeCalls: [{ from: "package", package: "node:test", name: ["test", "describe"] }] },
    ],
  }),
);
