/** Base64 with functions that every platform has; only Node has `Buffer`. */

/** Undefined if the text is not base64, with or without padding. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(text) && text.replace(/=+$/, '').length % 4 !== 1;
  if (!isBase64) return undefined;
  return Uint8Array.from(atob(text.replace(/=+$/, '')), (character) => character.charCodeAt(0));
}

export const encodeBase64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));
