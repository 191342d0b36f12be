/**
 * The elements of a JSON array, byte for byte: parsed and written again they would differ from what
 * was signed. Undefined for a text that is not a non-empty array.
 */
export function elementsOf(text: string): string[] | undefined {
  if (!text.startsWith('[') || !text.endsWith(']') || !isJson(text)) return undefined;
  const elements: string[] = [];
  let [begin, depth, isInString] = [1, 0, false];
  for (let index = 1; index < text.length - 1; index++) {
    const character = text[index]!;
    if (isInString) {
      if (character === '\\') index++;
      else if (character === '"') isInString = false;
    } else if (character === '"') isInString = true;
    else if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') depth--;
    else if (character === ',' && depth === 0) {
      elements.push(text.slice(begin, index));
      begin = index + 1;
    }
  }
  return text.length === 2 ? [] : [...elements, text.slice(begin, -1)];
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
