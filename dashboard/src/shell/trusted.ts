/**
 * What may become HTML in this page: the logo of lightweight-charts, and nothing else. The policy `default` of trusted
 * types is asked by the browser whenever a script assigns `innerHTML` and the like.
 */
const LOGO =
  /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="35" height="19" fill="none">(<\/?(g|path|defs|clipPath)( [a-z-]+="[\w\s.,#():-]*")*\/?>)*<\/svg>$/;

interface Policies {
  createPolicy(name: string, rules: { createHTML: (text: string) => string | null }): unknown;
}

export function isLogo(text: string): boolean {
  return LOGO.test(text);
}

/** Once, before anything is drawn; nothing in browsers that know no trusted types. */
export function trustNothing(): void {
  const policies = (window as { trustedTypes?: Policies }).trustedTypes;
  policies?.createPolicy("default", { createHTML: (text) => (isLogo(text) ? text : null) });
}
