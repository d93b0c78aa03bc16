/** Elements without HTML text: what comes from outside is only ever text. */

type Child = Node | string | null | false | undefined;
type Attributes = Record<string, string | number | boolean | null | undefined>;

/** `element("button", { class: "quiet", "aria-pressed": true }, "Pause")`; false, null and undefined are left out. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  set(made, attributes);
  append(made, children);
  return made;
}

/** The same for SVG. */
export function svg<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  set(made, attributes);
  append(made, children);
  return made;
}

/** Text that is written only when it has changed, so that nothing is laid out again for nothing. */
export function put(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

function set(made: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    // An aria-* attribute that is true says so; a plain one is there.
    made.setAttribute(name, value === true ? (name.startsWith("aria-") ? "true" : "") : String(value));
  }
}

function append(made: Element, children: Child[]): void {
  for (const child of children)
    if (child !== null && child !== undefined && child !== false) made.append(child);
}
