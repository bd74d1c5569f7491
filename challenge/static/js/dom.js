// Finding and making elements.

/**
 * The element that a page's template promises.
 * @template {Element} Kind
 * @param {ParentNode} parent
 * @param {string} selector
 * @param {new () => Kind} kind
 * @returns {Kind}
 * @throws {Error} where it is not there or of another kind
 */
export function required(parent, selector, kind) {
  const found = parent.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`no ${kind.name} is called ${selector}`);
  return found;
}

/**
 * A new element with its properties and children.
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Partial<HTMLElementTagNameMap[Name]>} [properties]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/**
 * An SVG with one rectangle: the strict content policy leaves no style attribute for a colour.
 * @param {Record<string, string>} attributes of the svg
 * @param {Record<string, string | number>} rectangle its attributes
 */
export function svgRectangle(attributes, rectangle) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  const rect = document.createElementNS(namespace, "rect");
  for (const [name, value] of Object.entries(rectangle)) rect.setAttribute(name, String(value));
  svg.append(rect);
  return svg;
}
