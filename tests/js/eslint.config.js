// The linter's rules: eslint's recommended ones, for scripts that run as they are written.
import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  {
    files: ["challenge/static/js/**/*.js"],
    languageOptions: { globals: { ...globals.browser, tus: "readonly" } },
  },
  {
    files: ["challenge/static/js/site.js"],
    languageOptions: { sourceType: "script" },
  },
  {
    files: ["tests/js/**/*.js"],
    languageOptions: { globals: globals.node },
  },
];
