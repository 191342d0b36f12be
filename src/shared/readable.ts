/** A caller's text for an answer or a log line: short, and on one line. */
export const readable = (text: string): string =>
  text
    .slice(0, 100)
    .toWellFormed()
    .replace(/\p{Cc}/gu, '\ufffd');
