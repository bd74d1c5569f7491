// The server's words for the problems that the browser finds.

/**
 * Put values where a text has their names in braces; a name without a value stays as it is.
 * @param {string} text
 * @param {(name: string) => string | number | undefined} valueOf
 */
export function fillIn(text, valueOf) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(valueOf(name) ?? whole));
}

/**
 * The catalogue's text for a problem, in the page's language.
 * @param {CheckData} data
 * @param {Problem} problem
 */
export function describe(data, problem) {
  const parameters = problem.params ?? {};
  const single = parameters.count === 1 || parameters.pixels === 1;
  const template = (single && data.texts_of_one[problem.code]) || data.texts[problem.code];
  const text = fillIn(template ?? problem.code, (name) => {
    const value = parameters[name];
    // these two are phrases of the catalogue, with words of their own in each language
    return name === "what" || name === "kind" ? data.phrases?.[String(value)] ?? value : value;
  });
  return problem.file ? `${problem.file}${data.colon} ${text}` : text;
}
